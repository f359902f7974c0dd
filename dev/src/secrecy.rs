//! What no line of a log may hold: a token, an e-mail address, a secret. Whatever captures a log in a test asks here.

/// Shorter values are no secrets, and would be found in many an innocent word.
const SHORTEST_SECRET: usize = 16;

/// What a log of some process must not hold besides tokens and e-mail addresses.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// The values of all variables that have `SECRET` in their names.
    pub fn of<'a>(environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let is_secret = |name: &str, value: &str| {
            name.contains("SECRET") && !name.ends_with("_ID") && value.len() >= SHORTEST_SECRET
        };
        let secrets = environment.into_iter().filter(|(name, value)| is_secret(name, value));
        Self(secrets.map(|(_, value)| value.to_owned()).collect())
    }

    /// Adds those of another environment.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0.into_iter().filter(|secret| !self.0.contains(secret)).collect::<Vec<_>>());
    }

    /// What a line tells that it must not, if anything.
    pub fn told_by(&self, line: &str) -> Option<&'static str> {
        if self.0.iter().any(|secret| line.contains(secret.as_str())) {
            return Some("a secret");
        }
        if has_token(line) {
            return Some("a token");
        }
        has_email(line).then_some("an e-mail address")
    }
}

/// A JWT, whole or without its signature; or what stands behind `Bearer`.
fn has_token(line: &str) -> bool {
    let in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let jwt = line.match_indices("eyJ").any(|(at, _)| {
        let length = line.as_bytes()[at..].iter().take_while(|byte| in_token(**byte)).count();
        length > 10 && line.as_bytes().get(at + length) == Some(&b'.')
    });
    let bearer = line
        .match_indices("Bearer ")
        .any(|(at, word)| line.as_bytes().get(at + word.len()).is_some_and(|byte| in_token(*byte)));
    jwt || bearer
}

fn has_email(line: &str) -> bool {
    let local = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    line.match_indices('@').any(|(at, _)| {
        let (before, behind) = (&line.as_bytes()[..at], &line.as_bytes()[at + 1..]);
        let domain: Vec<u8> = behind.iter().copied().take_while(|byte| host(*byte)).collect();
        let domain = domain.strip_suffix(b".").unwrap_or(&domain);
        before.last().is_some_and(|byte| local(*byte))
            && domain.iter().skip(1).take(domain.len().saturating_sub(2)).any(|byte| *byte == b'.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_told_is_found() {
        let secrets = Secrets::of([
            ("JWT_SECRET", "a secret of some length"),
            ("JWT_SECRET_ID", "the name of a secret in a manager"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ]);
        let token = crate::token::issue(&"user-1".parse().expect("legal"), None);
        for (line, told) in [
            (format!("verified {token}"), "a token"),
            (format!("claims {}", token.rsplit_once('.').expect("three parts").0), "a token"),
            ("{\"authorization\":\"Bearer x\"}".to_owned(), "a token"),
            ("{\"email\":\"john@example.com\"}".to_owned(), "an e-mail address"),
            ("John <john.doe+bff@mail.example.co.uk>.".to_owned(), "an e-mail address"),
            ("key = a secret of some length".to_owned(), "a secret"),
        ] {
            assert_eq!(secrets.told_by(&line), Some(told), "{line}");
        }
    }

    #[test]
    fn ordinary_lines_pass() {
        let secrets = Secrets::of([("AWS_SECRET_ACCESS_KEY", "local")]);
        for line in [
            "local-development-only",
            "WWW-Authenticate: Bearer error=\"invalid_token\"".trim_end_matches(" error=\"invalid_token\""),
            "the key eyJ is short",
            "user @ example.com",
            "@example.com",
            "at localhost@1",
            "root@localhost",
            "{\"level\":\"INFO\",\"message\":\"request served\",\"route\":\"/api/v2/users/{id}\"}",
        ] {
            assert_eq!(secrets.told_by(line), None, "{line}");
        }
    }
}
