//! Serves the requests of a connection: actions directly, all others by the router.
//!
//! The router is complete: it runs the same actions in the same way, and serves them if its layers apply to actions.
//! Its dispatch costs as much as the rest of HTTP, so the actions, which are nearly all requests, bypass it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::http::{Method, Request, Response};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::extract::action_of_path;
use super::handlers;
use super::router::{self, OperatorPages, has_unambiguous_framing};
use crate::data_api::protocol::Action;
use crate::gateway::server::peer::{Peer, TrustedProxies};
use crate::gateway::state::Gateway;
use crate::gateway::telemetry::RecordedBody;

/// Serves requests.
#[derive(Clone)]
pub(in crate::gateway) struct HttpService {
    router: TowerToHyperService<Router>,
    /// The gateway if its actions bypass the router.
    gateway: Option<Arc<Gateway>>,
    /// Who may say that a request comes from another address than its connection; `None` for nobody.
    trusted: Option<Arc<TrustedProxies>>,
}

impl HttpService {
    /// The service of a gateway, for browsers of these origins too.
    pub(in crate::gateway) fn new(
        gateway: &Arc<Gateway>,
        cors_origins: &[String],
        pages: OperatorPages,
        trusted: &TrustedProxies,
    ) -> Self {
        let router = TowerToHyperService::new(router::build(Arc::clone(gateway), cors_origins, pages));
        let trusted = (!trusted.is_empty()).then(|| Arc::new(trusted.clone()));
        Self { router, gateway: cors_origins.is_empty().then(|| Arc::clone(gateway)), trusted }
    }

    /// The service of `admin_listen`: health checks and metrics only.
    pub(in crate::gateway) fn of_operator(gateway: &Arc<Gateway>) -> Self {
        let router = TowerToHyperService::new(router::build_operator_pages(Arc::clone(gateway)));
        Self { router, gateway: None, trusted: None }
    }

    /// A service whose router serves all requests.
    #[cfg(test)]
    pub(in crate::gateway) fn of_router(router: Router) -> Self {
        Self { router: TowerToHyperService::new(router), gateway: None, trusted: None }
    }

    /// Serves a request.
    ///
    /// # Errors
    /// None.
    pub(in crate::gateway) async fn serve(
        self,
        peer: Peer,
        mut request: Request<Incoming>,
    ) -> Result<Response<Either<RecordedBody, Body>>, Infallible> {
        let peer = self.trusted.as_ref().map_or(peer, |trusted| trusted.client(peer, request.headers()));
        if let Some(gateway) = &self.gateway
            && let Some(action) = direct_action(&request)
        {
            return Ok(handlers::respond(gateway, peer, action, request).await.map(Either::Left));
        }
        request.extensions_mut().insert(ConnectInfo(peer));
        self.router.call(request).await.map(|response| response.map(Either::Right))
    }
}

/// The action of a request for one, as far as it needs nothing else of the router.
fn direct_action(request: &Request<Incoming>) -> Option<Option<Action>> {
    let direct = request.method() == Method::POST && has_unambiguous_framing(request.headers());
    direct.then(|| action_of_path(request.uri().path())).flatten()
}
