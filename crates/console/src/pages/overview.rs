//! `/`: is mail flowing?

use axum::response::Response;
use maud::html;

use super::{
    Refusal,
    shell::{Section, Visit},
};

pub(super) async fn show(visit: Visit) -> Result<Response, Refusal> {
    let body = html! { h1 { "Overview" } };
    Ok(visit.page(Section::Overview, "Overview", &body))
}
