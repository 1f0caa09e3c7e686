//! One operation of the API: what it needs, takes and gives. The router, OpenAPI and the tests are made from the tables of
//! operations, so that one cannot be added without all of that.

use std::{pin::Pin, sync::Arc};

use axum::{
    extract::{RawPathParams, Request, rejection::RawPathParamsRejection},
    http::{HeaderMap, header},
    response::Response,
    routing::MethodFilter,
};
use node::Node;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;
use store::Right;

use super::{
    body::read_json,
    problem::{Kind, Problem},
    query::{Parameter, Query},
    reply::Reply,
};
use crate::access::Client;

pub(crate) struct Operation {
    pub method: Method,
    pub path: &'static str,
    /// For clients that are generated.
    pub id: &'static str,
    pub summary: &'static str,
    pub needs: Right,
    /// Parameters in the path, in its order.
    pub in_path: &'static [Parameter],
    pub query: &'static [Parameter],
    /// The version that the client has seen, in If-Match.
    pub header: Option<Parameter>,
    pub body: Takes,
    pub gives: Gives,
    /// How it may fail, beyond what each operation may.
    pub fails: &'static [Kind],
    /// The commands that do the same.
    pub commands: &'static [&'static str],
    /// Clients poll it: it has an ETag.
    pub is_polled: bool,
    pub act: fn(Asked) -> Acting,
}

pub(crate) type Acting = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    Get,
    Post,
    Delete,
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Takes {
    Nothing,
    Json(&'static [Parameter]),
    /// The same with exactly one of its keys.
    JsonOneOf(&'static [Parameter]),
}

/// The answer, if all goes well.
#[derive(Clone, Copy)]
pub(crate) enum Gives {
    /// With this status.
    Json(u16, fn(&mut SchemaGenerator) -> Value),
    /// Another media type.
    Other(&'static str),
    Nothing,
}

pub(crate) fn schema_of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }

    pub(crate) fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// A request that is admitted, with its values.
pub(crate) struct Asked {
    pub node: Arc<Node>,
    pub client: Client,
    /// Of path, query and body.
    pub query: Query,
    pub headers: HeaderMap,
}

impl Operation {
    const fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        act: fn(Asked) -> Acting,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            needs: Right::Administrator,
            in_path: &[],
            query: &[],
            header: None,
            body: Takes::Nothing,
            gives: Gives::Nothing,
            fails: &[],
            commands: &[],
            is_polled: false,
            act,
        }
    }

    /// An operation that reads. Unless [`needs`](Self::needs) says otherwise, only administrators may use it.
    pub(crate) const fn get(
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        act: fn(Asked) -> Acting,
    ) -> Self {
        Self::new(Method::Get, path, id, summary, act)
    }

    pub(crate) const fn post(
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        act: fn(Asked) -> Acting,
    ) -> Self {
        Self::new(Method::Post, path, id, summary, act)
    }

    pub(crate) const fn delete(
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        act: fn(Asked) -> Acting,
    ) -> Self {
        Self::new(Method::Delete, path, id, summary, act)
    }

    pub(crate) const fn needs(self, needs: Right) -> Self {
        Self { needs, ..self }
    }

    pub(crate) const fn in_path(self, in_path: &'static [Parameter]) -> Self {
        Self { in_path, ..self }
    }

    pub(crate) const fn query(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    pub(crate) const fn header(self, header: Parameter) -> Self {
        Self { header: Some(header), ..self }
    }

    pub(crate) const fn takes(self, body: Takes) -> Self {
        Self { body, ..self }
    }

    pub(crate) const fn gives<T: JsonSchema>(self) -> Self {
        Self { gives: Gives::Json(200, schema_of::<T>), ..self }
    }

    pub(crate) const fn gives_as<T: JsonSchema>(self, status: u16) -> Self {
        Self { gives: Gives::Json(status, schema_of::<T>), ..self }
    }

    pub(crate) const fn gives_other(self, media_type: &'static str) -> Self {
        Self { gives: Gives::Other(media_type), ..self }
    }

    pub(crate) const fn fails(self, fails: &'static [Kind]) -> Self {
        Self { fails, ..self }
    }

    pub(crate) const fn commands(self, commands: &'static [&'static str]) -> Self {
        Self { commands, ..self }
    }

    pub(crate) const fn polled(self) -> Self {
        Self { is_polled: true, ..self }
    }

    /// Every way in which it may fail.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let of_body: &[Kind] = match self.body {
            Takes::Nothing => &[],
            Takes::Json(_) | Takes::JsonOneOf(_) => &[Kind::TooLarge, Kind::NotJson],
        };
        let of_all = [Kind::BadRequest, Kind::TokenRequired, Kind::NotAllowed, Kind::Unreadable, Kind::TimedOut];
        let of_header: &[Kind] = if self.header.is_some() { &[Kind::Changed, Kind::VersionRequired] } else { &[] };
        let mut kinds = [&of_all, of_body, of_header, self.fails].concat();
        kinds.sort_by_key(|kind| kind.status());
        kinds
    }

    pub(crate) async fn answer(
        &self,
        node: Arc<Node>,
        client: Client,
        path: Result<RawPathParams, RawPathParamsRejection>,
        request: Request,
    ) -> Result<Response, Problem> {
        client.must(self.needs)?;
        let (parts, body) = request.into_parts();
        let path = path.map_err(|_| Problem::bad_request("the path is not UTF-8"))?;
        let mut query = Query::named(path.iter(), self.in_path)?.checked(self.in_path)?;
        query = query.and(Query::read(parts.uri.query(), self.query)?);
        if let Some(known) = self.header {
            query = query.and(read_header(&parts.headers, known)?);
        }
        if let Takes::Json(known) | Takes::JsonOneOf(known) = self.body {
            let is_one_of = matches!(self.body, Takes::JsonOneOf(_));
            query = query.and(read_json(&parts.headers, body, known, is_one_of).await?);
        }
        let is_blind = !client.may(Right::Tracer);
        let reply = (self.act)(Asked { node, client, query, headers: parts.headers.clone() }).await?;
        let known = parts.headers.get(header::IF_NONE_MATCH).filter(|_| self.is_polled);
        reply.response(is_blind, self.is_polled, known)
    }
}

/// A client that changes something must have seen what it changes.
fn read_header(headers: &HeaderMap, known: Parameter) -> Result<Query, Problem> {
    let value = headers
        .get(known.name)
        .ok_or_else(|| Problem::version_required(format!("add the header {}: {}", known.name, known.about)))?;
    let value = value.to_str().unwrap_or_default();
    Ok(Query::named([(known.name, value)].into_iter(), &[known])?.checked(&[known])?)
}
