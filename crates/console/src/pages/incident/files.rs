//! `…/report.html` and `…/bundle.zip`: what the administrator of the destination needs to see. Mail addresses are withheld.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use insight::Report;
use node::{Node, question};

use super::find;
use crate::pages::Refusal;

/// The report as one page without scripts.
pub(in crate::pages) async fn report(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let page = made(&node, &id, |report| Ok(report.page())).await?;
    // It brings its own style, which the policy of the console does not allow.
    let policy = format!("{}; frame-ancestors 'none'; sandbox", Report::policy());
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (header::CONTENT_SECURITY_POLICY, policy)];
    Ok((headers, page).into_response())
}

pub(in crate::pages) async fn bundle(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let bytes = made(&node, &id, insight::bundle).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"gatepost-incident.zip\""),
    ];
    Ok((headers, bytes).into_response())
}

async fn made<T: Send + 'static>(
    node: &Arc<Node>,
    id: &str,
    make: fn(&Report<'_>) -> anyhow::Result<T>,
) -> Result<T, Refusal> {
    let incident = find(node, id).await?;
    let made = question::report(node, incident, make).await;
    made.map_err(|error| Refusal::unreadable(&format!("{error:#}")))?.ok_or_else(|| {
        Refusal::not_found(
            "The history of this incident has been deleted, so that a report cannot be made any more. The page of the \
             incident still has its picture.",
        )
    })
}
