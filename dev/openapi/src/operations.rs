//! Paths, and what each takes and answers.

use serde_json::{Map, Value, json};

use crate::schemas::reference;

/// One operation of one path.
struct Operation {
    method: &'static str,
    path: String,
    /// `listOrders`; with the version behind it, this is the operation's id.
    name: &'static str,
    summary: &'static str,
    /// Whether a token is needed.
    private: bool,
    parameters: Vec<&'static str>,
    /// Media types and schema of the body.
    body: Option<(&'static [&'static str], Value)>,
    /// What comes back when all went well. Failures are the same for all of them.
    answers: Vec<(u16, Answer)>,
    /// Whether its answers have entity tags.
    tagged: bool,
    version: &'static str,
}

enum Answer {
    Json(Value),
    /// A picture.
    Image,
    NotModified,
}

const JSON: &[&str] = &["application/json"];
const MERGE_PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

/// The object `paths`.
pub(crate) fn paths() -> Value {
    let mut paths = Map::new();
    let operations = ["V1", "V2"].into_iter().flat_map(|version| {
        [users(version), products(version), orders(version), others(version)].into_iter().flatten()
    });
    for operation in operations {
        let path = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
        path[operation.method] = operation.object();
    }
    paths.into()
}

fn read(version: &'static str, path: &str, name: &'static str, summary: &'static str, schema: &str) -> Operation {
    Operation {
        method: "get",
        path: format!("/api/{}{path}", version.to_lowercase()),
        name,
        summary,
        private: true,
        parameters: Vec::new(),
        body: None,
        answers: vec![(200, Answer::Json(reference(schema)))],
        tagged: false,
        version,
    }
}

impl Operation {
    fn public(self) -> Self {
        Self { private: false, ..self }
    }

    /// With entity tags.
    fn tagged(self) -> Self {
        Self { tagged: true, ..self }
    }

    /// With entity tags that a client may send back.
    fn conditional(mut self) -> Self {
        self.answers.push((304, Answer::NotModified));
        self.tagged().taking(&["If-None-Match"])
    }

    /// With `level`, and from version 2 on `fields`.
    fn in_views(self) -> Self {
        let fields: &[&str] = if self.version == "V1" { &[] } else { &["fields"] };
        self.taking(&["level"]).taking(fields)
    }

    fn taking(mut self, parameters: &[&'static str]) -> Self {
        self.parameters.extend(parameters);
        self
    }

    fn sending(self, method: &'static str, media: &'static [&'static str], schema: &str) -> Self {
        Self { method, body: Some((media, reference(schema))), ..self }
    }

    /// Also answers 201 where it has made something.
    fn creating(mut self) -> Self {
        let [(_, Answer::Json(schema)), ..] = &self.answers[..] else { return self };
        let created = Answer::Json(schema.clone());
        self.answers.push((201, created));
        self
    }

    fn object(&self) -> Value {
        let answers = self.answers.iter().map(|(status, answer)| (status.to_string(), answer.object(self.tagged)));
        let mut answers: Map<String, Value> = answers.collect();
        let error = format!("#/components/responses/Error{}", self.version);
        answers.insert("default".into(), json!({ "$ref": error }));
        let mut parameters = vec![];
        if self.path.contains("{id}") || self.path.contains("{key}") {
            parameters.push(if self.path.contains("{id}") { "id" } else { "key" });
        }
        parameters.extend(&self.parameters);
        let parameters: Vec<_> =
            parameters.iter().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })).collect();
        let tag = self.path.split('/').nth(if self.path.starts_with("/api/") { 3 } else { 1 }).unwrap_or_default();
        let mut object = json!({
            "operationId": format!("{}{}", self.name, self.version),
            "summary": self.summary,
            "tags": [tag],
            "parameters": parameters,
            "responses": answers,
        });
        if self.private {
            object["security"] = json!([{ "token": [] }]);
        }
        if self.version == "V1" {
            object["deprecated"] = json!(true);
        }
        if let Some((media, schema)) = &self.body {
            let content: Map<String, Value> =
                media.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema }))).collect();
            let is_required = self.method != "delete";
            object["requestBody"] = json!({ "required": is_required, "content": content });
        }
        object
    }
}

impl Answer {
    fn object(&self, tagged: bool) -> Value {
        let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
        let mut headers = json!({ "X-Request-Id": header("X-Request-Id") });
        if tagged {
            headers["ETag"] = header("ETag");
        }
        match self {
            Self::Json(schema) => json!({
                "description": "As asked for.",
                "headers": headers,
                "content": { "application/json": { "schema": schema } },
            }),
            Self::Image => json!({
                "description": "The picture.",
                "headers": headers,
                "content": { "image/webp": {}, "image/jpeg": {} },
            }),
            Self::NotModified => json!({ "description": "What the client has is still good.", "headers": headers }),
        }
    }
}

fn users(version: &'static str) -> Vec<Operation> {
    let schema = format!("User{version}");
    let get = |path, name, summary| read(version, path, name, summary, &schema);
    let mut all =
        vec![get("/users/{id}", "getUser", "A user; somebody else comes at level minimal.").in_views().conditional()];
    if version == "V2" {
        all.push(get("/users/me", "getMe", "The caller.").in_views().conditional());
        let edit = get("/users/me", "editMe", "Changes names and preferences of the caller.").in_views();
        all.push(edit.sending("patch", MERGE_PATCH, "UserPatch").taking(&["If-Match"]).tagged());
    }
    all
}

fn products(version: &'static str) -> Vec<Operation> {
    let get = |path, name, summary, schema: &str| read(version, path, name, summary, &format!("{schema}{version}"));
    let list = get("/products", "listProducts", "The catalogue, in pages.", "ProductPage").public();
    let one = get("/products/{id}", "getProduct", "A product.", "Product").public();
    let mut all =
        vec![list.taking(&["category", "limit", "cursor"]).in_views().conditional(), one.in_views().conditional()];
    if version == "V2" {
        let delta = get("/products/delta", "syncProducts", "What has changed in the catalogue.", "ProductDelta");
        all.push(delta.public().taking(&["since", "syncLimit"]).in_views());
    }
    all
}

fn orders(version: &'static str) -> Vec<Operation> {
    let get = |path, name, summary, schema: &str| read(version, path, name, summary, &format!("{schema}{version}"));
    let one = |name, summary| get("/orders/{id}", name, summary, "Order").in_views();
    let remove = Operation {
        answers: vec![(200, Answer::Json(reference("Tombstone")))],
        ..one("deleteOrder", "Deletes an order; the body may name the version.")
    };
    vec![
        get("/orders", "listOrders", "The caller's orders, in pages.", "OrderPage")
            .taking(&["limit", "cursor"])
            .in_views()
            .conditional(),
        Operation {
            answers: vec![(201, Answer::Json(reference(&format!("Order{version}"))))],
            ..get("/orders", "createOrder", "Makes an order.", "Order")
        }
        .in_views()
        .sending("post", JSON, "OrderDraft")
        .taking(&["Idempotency-Key"])
        .tagged(),
        one("getOrder", "An order.").conditional(),
        one("putOrder", "Makes an order under an id of the client's, or replaces it.")
            .sending("put", JSON, "OrderWrite")
            .taking(&["If-Match", "If-None-Match"])
            .creating()
            .tagged(),
        one("patchOrder", "Changes some members of an order.")
            .sending("patch", MERGE_PATCH, "OrderPatch")
            .taking(&["If-Match", "onConflict"])
            .tagged(),
        remove.sending("delete", JSON, "OrderDelete").taking(&["If-Match"]),
        get("/orders/delta", "syncOrders", "What has changed in the caller's orders.", "OrderDelta")
            .taking(&["since", "syncLimit"])
            .in_views(),
        get("/orders/batch", "batchOrders", "Up to 49 writes, and what has changed besides.", "OrderBatchResults")
            .sending("post", JSON, "OrderBatch")
            .taking(&["syncLimit", "onConflict"])
            .in_views(),
    ]
}

/// What is not of a version counts as the newest.
fn others(version: &'static str) -> Vec<Operation> {
    if version == "V1" {
        return Vec::new();
    }
    let outside = |path: &str, name, summary, schema| Operation {
        path: path.to_owned(),
        ..read(version, "", name, summary, schema).public()
    };
    vec![
        read(version, "/home", "getHome", "Profile, recent orders and featured products in one call.", "Home")
            .conditional(),
        outside("/health", "getHealth", "Whether the service lives.", "Health"),
        outside("/openapi.json", "getOpenApi", "This document.", "OpenApi").conditional(),
        Operation {
            answers: vec![(200, Answer::Image)],
            ..outside("/images/{key}", "getImage", "A picture, made to measure. The key may have slashes.", "")
        }
        .taking(&["w", "h", "fit", "format", "q", "dpr", "expires", "signature"]),
    ]
}

/// The parameters by the names that the operations use.
pub(crate) fn parameters() -> Value {
    let parameter = |name: &str, place: &str, description: &str, schema: Value| json!({ "name": name, "in": place, "description": description, "schema": schema });
    let query = |name: &str, description: &str, schema| parameter(name, "query", description, schema);
    let header = |name: &str, description: &str| parameter(name, "header", description, json!({ "type": "string" }));
    let path = |name: &str, schema: Value| json!({ "name": name, "in": "path", "required": true, "schema": schema });
    let whole = |least: u32, most: u32| json!({ "type": "integer", "minimum": least, "maximum": most });
    let text = || json!({ "type": "string" });
    let one_of = |values: &[&str]| json!({ "type": "string", "enum": values });
    json!({
        "id": path("id", json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" })),
        "key": path("key", text()),
        "level": query("level", "How much of each thing; `x-level` says what that is.", one_of(&["minimal", "detail", "full"])),
        "fields": query("fields", "Names of members, such as `id,address.city`; nothing else is sent.", text()),
        "limit": query("limit", "Items of a page.", whole(1, 100)),
        "cursor": query("cursor", "The `nextCursor` of the page before.", text()),
        "category": query("category", "Products of this category only.", json!({ "type": "string", "minLength": 1, "maxLength": 64 })),
        "since": query("since", "The `syncToken` of the answer before; nothing to start.", text()),
        "syncLimit": query("limit", "Changes of a page.", whole(1, 500)),
        "onConflict": query("onConflict", "Applies a patch to a newer version when nothing that it names has changed.", one_of(&["merge"])),
        "If-Match": header("If-Match", "The version that the write is based on, as a strong entity tag."),
        "If-None-Match": header("If-None-Match", "Entity tags that the client has; `*` on a PUT to create only."),
        "Idempotency-Key": header("Idempotency-Key", "The same for a retry of the same request: it is done once."),
        "w": query("w", "Width in pixels.", whole(1, 16383)),
        "h": query("h", "Height in pixels.", whole(1, 16383)),
        "fit": query("fit", "How the picture fits the box.", one_of(&["cover", "contain", "fill", "inside"])),
        "format": query("format", "`auto` looks at `Accept`.", one_of(&["webp", "jpeg", "auto"])),
        "q": query("q", "Quality.", whole(1, 100)),
        "dpr": query("dpr", "Device pixels a pixel.", json!({ "type": "number", "minimum": 1, "maximum": 3 })),
        "expires": query("expires", "End of a signed address, in seconds since 1970.", json!({ "type": "integer" })),
        "signature": query("signature", "Signature of a signed address.", text()),
    })
}

/// Headers of answers.
pub(crate) fn headers() -> Value {
    let header = |description: &str, kind: &str| json!({ "description": description, "schema": { "type": kind } });
    json!({
        "X-Request-Id": header("Names the request in logs, and in errors.", "string"),
        "ETag": header("The version of a thing, or the state of a page.", "string"),
        "Retry-After": header("Seconds to wait before the next try.", "integer"),
    })
}
