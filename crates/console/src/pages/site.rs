//! The paths of the console. One cannot be added without saying who may open it.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use node::Node;
use store::Right;

use super::{Refusal, login::ask};
use crate::access::Person;

pub(super) struct Site {
    router: Router<Arc<Node>>,
    /// `None`: for people who have not logged in as well.
    paths: Vec<(&'static str, Option<Right>)>,
}

impl Site {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), paths: Vec::new() }
    }

    /// For people who have not logged in as well.
    pub(super) fn open(mut self, path: &'static str, methods: MethodRouter<Arc<Node>>) -> Self {
        self.paths.push((path, None));
        Self { router: self.router.route(path, methods), ..self }
    }

    /// For people with that right. Where looking and acting need different rights, a path has one of each.
    pub(super) fn guarded(mut self, path: &'static str, right: Right, methods: MethodRouter<Arc<Node>>) -> Self {
        self.paths.push((path, Some(right)));
        let check =
            move |person: Option<Extension<Person>>, request: Request, next: Next| admit(right, person, request, next);
        Self { router: self.router.route(path, methods.route_layer(middleware::from_fn(check))), ..self }
    }

    /// Each path with its right. Those with a right for looking and one for acting are there twice.
    #[cfg(test)]
    pub(super) fn paths(&self) -> &[(&'static str, Option<Right>)] {
        &self.paths
    }

    pub(super) fn router(self) -> Router<Arc<Node>> {
        self.router
    }
}

async fn admit(right: Right, person: Option<Extension<Person>>, request: Request, next: Next) -> Response {
    match person {
        Some(Extension(person)) if person.may(right) => next.run(request).await,
        Some(_) => Refusal::forbidden(right).into_response(),
        None => ask(request).await,
    }
}
