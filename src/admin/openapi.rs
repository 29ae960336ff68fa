//! `/openapi.json`.
use axum::Json;
pub(super) async fn document() -> Json<serde_json::Value> {
    Json(serde_json::Value::Null)
}
