//! `/metrics`: the figures of the node in the OpenMetrics format, or in Prometheus's older text format for clients that do
//! not ask for it, such as curl and promtool.

mod page;

use std::{fmt, sync::Arc};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use node::Node;
use prometheus_client::{
    encoding::{prometheus_text, text},
    registry::Registry,
};

use super::process::ProcessFigures;
use crate::pages::Live;
use page::{OfNode, OfProcess};

const OPENMETRICS: &str = "application/openmetrics-text";
const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn serve(
    State(node): State<Arc<Node>>,
    Extension(live): Extension<Arc<Live>>,
    headers: HeaderMap,
) -> Response {
    let of_node = OfNode { figures: node.figures().await, console_viewers: live.viewers() as u64 };
    let wants = |value: &header::HeaderValue| value.to_str().is_ok_and(|value| value.contains(OPENMETRICS));
    let format = match headers.get_all(header::ACCEPT).iter().any(wants) {
        true => Format::OpenMetrics,
        false => Format::Text,
    };
    match written(of_node, ProcessFigures::now(), format) {
        Ok(page) => ([(header::CONTENT_TYPE, format.content_type())], page).into_response(),
        // Writing to a string does not fail.
        Err(fmt::Error) => axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    OpenMetrics,
    Text,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => OPENMETRICS_TYPE,
            Self::Text => TEXT_TYPE,
        }
    }
}

fn written(node: OfNode, process: ProcessFigures, format: Format) -> Result<String, fmt::Error> {
    let mut page = String::new();
    let mut of_node = Registry::with_prefix("gatepost");
    of_node.register_collector(Box::new(node));
    let mut of_process = Registry::with_prefix("process");
    of_process.register_collector(Box::new(OfProcess(process)));
    for registry in [&of_node, &of_process] {
        match format {
            Format::OpenMetrics => text::encode_registry(&mut page, registry)?,
            Format::Text => prometheus_text::encode(&mut page, registry)?,
        }
    }
    if format == Format::OpenMetrics {
        text::encode_eof(&mut page)?;
    }
    Ok(page)
}

#[cfg(test)]
mod tests;
