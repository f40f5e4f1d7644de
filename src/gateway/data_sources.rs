//! The MongoDB deployments behind the gateway, by `dataSource`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::telemetry::metrics::Metrics;
use crate::config::DriverSettings;
use crate::driver::command::{CommandOptions, run_command};
use crate::driver::{DriverClient, ExtraClientOptions};
use crate::limits::PING_TIME;

/// The settings of the data sources.
#[derive(Debug)]
pub(super) enum DataSourceSettings {
    /// One deployment, for any `dataSource`.
    Any(Box<DriverSettings>),
    /// Deployments by `dataSource`.
    Named(BTreeMap<String, DriverSettings>),
}

/// The clients of the data sources.
pub(super) enum DataSources {
    Any(Arc<DriverClient>),
    Named(BTreeMap<String, Arc<DriverClient>>),
}

impl DataSources {
    /// Creates the clients, whose requests last at most `request_time`. They connect with the first command.
    pub(super) fn new(settings: DataSourceSettings, metrics: &Metrics, request_time: Duration) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let client = |name: &str, settings| {
            let listener = metrics.pool_listener(name);
            Arc::new(DriverClient::with_listener(
                settings,
                runtime.clone(),
                Some(listener),
                ExtraClientOptions { merged_insert_time: Some(request_time), ..ExtraClientOptions::default() },
            ))
        };
        match settings {
            DataSourceSettings::Any(settings) => Self::Any(client("", *settings)),
            DataSourceSettings::Named(named) => {
                Self::Named(named.into_iter().map(|(name, settings)| (name.clone(), client(&name, settings))).collect())
            }
        }
    }

    /// Returns the client of a `dataSource`.
    pub(super) fn get(&self, data_source: &str) -> Option<&Arc<DriverClient>> {
        match self {
            Self::Any(client) => Some(client),
            Self::Named(named) => named.get(data_source),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &Arc<DriverClient>)> {
        let (any, named) = match self {
            Self::Any(client) => (Some(("MongoDB", client)), None),
            Self::Named(named) => (None, Some(named)),
        };
        any.into_iter().chain(named.into_iter().flatten().map(|(name, client)| (name.as_str(), client)))
    }

    /// Pings all data sources. Returns those that do not respond, each with its problem.
    pub(super) async fn unreachable(&self) -> Vec<(String, String)> {
        let mut unreachable = Vec::new();
        for (name, client) in self.iter() {
            let ping = run_command(client, "admin".to_owned(), bson::doc! { "ping": 1 }, CommandOptions::once(None));
            match tokio::time::timeout(PING_TIME, ping).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => unreachable.push((name.to_owned(), error.message)),
                Err(_) => unreachable.push((name.to_owned(), "the ping timed out".to_owned())),
            }
        }
        unreachable
    }

    /// Closes all clients, each within its own time limit.
    pub(super) async fn close(&self) {
        futures_util::future::join_all(self.iter().map(|(_, client)| client.close())).await;
    }
}
