//! `/openapi.json` as something that judges: which paths there are, and whether an answer is what it says.

use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Answers that any path may give: who asks may not, asks too much, too slowly, or by another method.
const EVERYWHERE: [u16; 9] = [401, 403, 405, 408, 413, 415, 421, 429, 503];

/// The document.
pub struct Document {
    json: Value,
    /// The components, each closed: a field that isn't described is a fault of the description.
    components: Value,
}

impl Document {
    pub fn new(json: Value) -> Self {
        let mut components = json["components"].clone();
        let mut parts = BTreeSet::new();
        parts_of_others(&components, &mut parts);
        for (name, schema) in components["schemas"].as_object_mut().expect("schemas") {
            close(schema, parts.contains(name));
        }
        Self { json, components }
    }

    /// Every method and path.
    pub fn operations(&self) -> BTreeSet<(String, String)> {
        let paths = self.json["paths"].as_object().expect("paths");
        let methods = |(path, methods): (&String, &Value)| {
            let methods = methods.as_object().expect("methods").keys().map(|method| method.to_uppercase());
            methods.map(|method| (method, path.clone())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(methods).collect()
    }

    /// The statuses that an operation is said to answer with.
    pub fn statuses(&self, method: &str, path: &str) -> BTreeSet<u16> {
        let responses = self.operation(method, path)["responses"].as_object().expect("responses");
        responses.keys().filter_map(|status| status.parse().ok()).collect()
    }

    fn operation(&self, method: &str, path: &str) -> &Value {
        &self.json["paths"][path][method.to_lowercase()]
    }

    /// What is wrong with an answer, if anything.
    pub fn judge(&self, method: &str, path: &str, status: u16, kind: &str, body: &str) -> Option<String> {
        let told = &self.operation(method, path)["responses"][status.to_string()];
        if told.is_null() {
            let general = EVERYWHERE.contains(&status);
            let fault = general.then(|| self.fault_in("Problem", kind, "application/problem+json", body));
            return fault.unwrap_or_else(|| Some(format!("{status} is not described; it said {body}")));
        }
        let Some(content) = told["content"].as_object() else {
            return body
                .is_empty()
                .then_some(())
                .map_or_else(|| Some(format!("{status} has a body, none is told")), |()| None);
        };
        let kind = kind.split(';').next().unwrap_or_default();
        let Some(described) = content.get(kind) else {
            return Some(format!("{status} comes as {kind}, told are {:?}", content.keys().collect::<Vec<_>>()));
        };
        if kind == "text/event-stream" || kind.starts_with("text/") {
            return None;
        }
        self.fault(&described["schema"], body)
    }

    fn fault_in(&self, component: &str, kind: &str, expected: &str, body: &str) -> Option<String> {
        if kind != expected {
            return Some(format!("it comes as {kind}, not as {expected}"));
        }
        self.component(component, body)
    }

    /// What is wrong with JSON that should be one of the components.
    pub fn component(&self, name: &str, body: &str) -> Option<String> {
        self.fault(&json!({ "$ref": format!("#/components/schemas/{name}") }), body)
    }

    /// Whether a request's body is one that the operation is said to take.
    pub fn takes(&self, method: &str, path: &str, body: &Value) -> Option<String> {
        let request = &self.operation(method, path)["requestBody"]["content"]["application/json"]["schema"];
        if request.is_null() {
            return Some("no body is described".to_owned());
        }
        self.fault(request, &body.to_string())
    }

    fn fault(&self, schema: &Value, body: &str) -> Option<String> {
        let value: Value = match serde_json::from_str(body) {
            Ok(value) => value,
            Err(error) => return Some(format!("no JSON ({error}): {body}")),
        };
        let schema = json!({ "allOf": [schema], "components": self.components });
        let validator: Validator = jsonschema::draft202012::new(&schema).expect("schemas of the document");
        let faults: Vec<_> =
            validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        (!faults.is_empty()).then(|| format!("{}\n      in {body}", faults.join("\n      ")))
    }
}

/// Components that others are made of by `allOf`: closing those would refuse what the others add.
fn parts_of_others(node: &Value, found: &mut BTreeSet<String>) {
    let reference = |part: &Value| {
        let name = part.get("$ref")?.as_str()?.rsplit('/').next()?;
        Some(name.to_owned())
    };
    if let Some(parts) = node.get("allOf").and_then(Value::as_array) {
        found.extend(parts.iter().filter_map(reference));
    }
    match node {
        Value::Object(fields) => fields.values().for_each(|field| parts_of_others(field, found)),
        Value::Array(members) => members.iter().for_each(|member| parts_of_others(member, found)),
        _ => {}
    }
}

/// Refuses fields that aren't described, in this schema and those within it. `part`: it is one of several that describe one object.
fn close(schema: &mut Value, part: bool) {
    let Some(fields) = schema.as_object_mut() else {
        schema.as_array_mut().into_iter().flatten().for_each(|member| close(member, false));
        return;
    };
    let whole = fields.contains_key("allOf");
    let open = !fields.contains_key("additionalProperties");
    if whole && !part {
        fields.insert("unevaluatedProperties".to_owned(), false.into());
    } else if fields.contains_key("properties") && open && !part {
        fields.insert("additionalProperties".to_owned(), false.into());
    }
    for (name, field) in fields.iter_mut() {
        match (name.as_str(), field) {
            ("allOf", Value::Array(parts)) => parts.iter_mut().for_each(|part| close(part, true)),
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(|field| close(field, false)),
            ("oneOf" | "anyOf", Value::Array(parts)) => parts.iter_mut().for_each(|other| close(other, part)),
            ("items" | "additionalProperties", field) => close(field, false),
            _ => {}
        }
    }
}
