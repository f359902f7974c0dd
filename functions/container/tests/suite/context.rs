//! What `docker build` sends to the compiler: everything that it needs.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The files and folders that the list lets in. It begins with `*`, which leaves out all others.
fn let_in(root: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string(root.join(".dockerignore")).unwrap();
    let mut lines = list.lines();
    assert_eq!(lines.next(), Some("*"));
    lines.filter_map(|line| line.strip_prefix('!')).map(|path| root.join(path)).collect()
}

/// What cargo knows of a workspace. Only the crates that this machine compiles are sure to be on it.
fn metadata(workspace: &Path) -> Value {
    let host = output(Command::new("rustc").args(["--print", "host-tuple"]));
    let host = String::from_utf8(host).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host.trim()]);
    serde_json::from_slice(&output(cargo.current_dir(workspace))).unwrap()
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Cargo finds each member of the workspace, and the lock file fits.
#[test]
fn the_workspace_is_whole_in_the_build_context() {
    let root = root();
    let context = Path::new(env!("CARGO_TARGET_TMPDIR")).join("build-context");
    let _ = fs::remove_dir_all(&context);
    for path in let_in(&root) {
        let link = context.join(path.strip_prefix(&root).unwrap());
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&path, &link).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let members = |workspace| metadata(workspace)["workspace_members"].as_array().unwrap().len();
    assert_eq!(members(&context), members(&root));
}

/// The folders of the binary's own crate and of those that it is made of, as far as they are of this workspace.
fn crates_of_the_binary(root: &Path) -> BTreeSet<PathBuf> {
    let metadata = metadata(root);
    let list = |value: &Value| value.as_array().unwrap().clone();
    let packages = list(&metadata["packages"]);
    let folder = |name: &str| {
        let package = packages.iter().find(|package| package["name"] == name && package["source"].is_null())?;
        Some((Path::new(package["manifest_path"].as_str()?).parent()?.to_owned(), list(&package["dependencies"])))
    };
    let (mut found, mut names) = (BTreeSet::new(), vec!["container".to_owned()]);
    while let Some(name) = names.pop() {
        let Some((folder, dependencies)) = folder(&name) else { continue };
        if found.insert(folder) {
            let used = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
            names.extend(used.map(|dependency| dependency["name"].as_str().unwrap().to_owned()));
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each file that the binary's sources take in by a macro is in the context.
#[test]
fn what_the_binary_includes_is_in_the_build_context() {
    let root = root();
    let (let_in, mut files, mut included) = (let_in(&root), Vec::new(), 0);
    for folder in crates_of_the_binary(&root) {
        sources(&folder.join("src"), &mut files);
    }
    for file in files {
        let code = fs::read_to_string(&file).unwrap();
        let rest = ["include_str!(\"", "include_bytes!(\""].into_iter().flat_map(|start| code.split(start).skip(1));
        for (path, _) in rest.map(|rest| rest.split_once('"').unwrap()) {
            let path = file.parent().unwrap().join(path).canonicalize().unwrap();
            assert!(let_in.iter().any(|known| path.starts_with(known)), "{} is not there", path.display());
            included += 1;
        }
    }
    assert!(included >= 2, "the description of the API and the roots of Amazon are included; found {included}");
}
