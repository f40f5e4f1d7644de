//! The MongoDB deployments behind the gateway, by `dataSource`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::telemetry::metrics::Metrics;
use crate::config::DriverSettings;
use crate::driver::command::{CommandOptions, run_command};
use crate::driver::{DriverClient, ExtraClientOptions};
use crate::limits::PING_TIME;

/// The connections for change streams beyond their number: a stream that ends returns its own a little later.
const SPARE_CONNECTIONS: u32 = 10;

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
    Any(DataSource),
    Named(BTreeMap<String, DataSource>),
}

/// The clients of a data source.
pub(super) struct DataSource {
    client: Arc<DriverClient>,
    /// The client of change streams, each of which keeps a connection to itself.
    streams: OnceLock<Arc<DriverClient>>,
}

impl DataSources {
    /// Creates the clients, whose requests last at most `request_time`. They connect with the first command.
    pub(super) fn new(settings: DataSourceSettings, metrics: &Metrics, request_time: Duration) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let client = |name: &str, settings| {
            let listener = metrics.pool_listener(name);
            let client = DriverClient::with_listener(
                settings,
                runtime.clone(),
                Some(listener),
                ExtraClientOptions { merged_insert_time: Some(request_time), ..ExtraClientOptions::default() },
            );
            DataSource { client: Arc::new(client), streams: OnceLock::new() }
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
        self.find(data_source).map(|source| &source.client)
    }

    fn find(&self, data_source: &str) -> Option<&DataSource> {
        match self {
            Self::Any(source) => Some(source),
            Self::Named(named) => named.get(data_source),
        }
    }

    /// Returns the client for the change streams of a `dataSource`, of which there are at most `most`. Must be called
    /// within a tokio runtime.
    pub(super) fn for_streams(&self, data_source: &str, most: usize) -> Option<Arc<DriverClient>> {
        let source = self.find(data_source)?;
        let client = source.streams.get_or_init(|| {
            let most = u32::try_from(most).unwrap_or(u32::MAX).saturating_add(SPARE_CONNECTIONS);
            let options = ExtraClientOptions { max_pool_size: Some(most), ..ExtraClientOptions::default() };
            let (settings, listener) = (source.client.settings().clone(), source.client.listener().cloned());
            let runtime = tokio::runtime::Handle::current();
            Arc::new(DriverClient::with_listener(settings, runtime, listener, options))
        });
        Some(Arc::clone(client))
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &DataSource)> {
        let (any, named) = match self {
            Self::Any(source) => (Some(("MongoDB", source)), None),
            Self::Named(named) => (None, Some(named)),
        };
        any.into_iter().chain(named.into_iter().flatten().map(|(name, source)| (name.as_str(), source)))
    }

    /// Pings all data sources. Returns those that do not respond, each with its problem.
    pub(super) async fn unreachable(&self) -> Vec<(String, String)> {
        let mut unreachable = Vec::new();
        for (name, source) in self.iter() {
            let ping =
                run_command(&source.client, "admin".to_owned(), bson::doc! { "ping": 1 }, CommandOptions::once(None));
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
        let clients = self.iter().flat_map(|(_, source)| [Some(&source.client), source.streams.get()]);
        futures_util::future::join_all(clients.flatten().map(|client| client.close())).await;
    }
}
