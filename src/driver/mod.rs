//! The driver path: one pooled MongoDB client for one setting.

pub mod aggregate;
mod answer;
pub mod bulk;
pub mod command;
pub mod concern;
pub mod error;
pub mod events;
pub mod find;
mod idle;
pub mod insert;
mod retryable;
pub mod session;
pub mod watch;
pub mod write;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::RawDocumentBuf;
use futures_util::FutureExt as _;
use mongodb::event::sdam::TopologyDescription;
use mongodb::options::oidc::Callback;
use mongodb::options::{
    AuthMechanism, ClientOptions, CollectionOptions, ConnectionString, DatabaseOptions, DriverInfo, ServerAddress,
    ServerApi, Tls,
};
use mongodb::{Client, Collection, ServerType};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch as watch_channel};
use tokio::time::{Instant, timeout_at};

use crate::coalesce::Coalescer;
use crate::config::DriverSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::giving_up::GivingUp;
use crate::limits::CLOSE_TIME;
use answer::Times;
use concern::Concerns;
use error::Attempt;
use events::Listener;
use idle::Connections;
use retryable::OwnSessions;
use session::Session;

/// PyMongo's default, where the connection string does not say.
const MAX_POOL_SIZE: u32 = 100;

/// A database and a collection in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace {
    /// The database's name.
    pub database: String,
    /// The collection's name.
    pub collection: String,
    /// How sure and how recent, where that is not the client's default.
    pub concerns: Arc<Concerns>,
}

impl Namespace {
    /// A collection, with the client's defaults.
    pub fn new(database: impl Into<String>, collection: impl Into<String>) -> Self {
        Self { database: database.into(), collection: collection.into(), concerns: Arc::default() }
    }

    /// Whether it is the same collection, whatever its options.
    pub fn is_named_as(&self, other: &Self) -> bool {
        self.database == other.database && self.collection == other.collection
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.collection)
    }
}

/// A MongoDB client. It connects with its first call, so that making one does
/// no I/O; dropped, it closes its connections once the last call has ended.
pub struct DriverClient {
    settings: DriverSettings,
    runtime: Handle,
    client: OnceCell<Connected>,
    coalescer: Coalescer<Self>,
    own_sessions: OwnSessions,
    connections: Arc<Connections>,
    giving_up: GivingUp,
    times: Times,
    listener: Option<Arc<dyn Listener>>,
    topology: watch_channel::Sender<Option<TopologyDescription>>,
    beyond: Beyond,
}

/// What a client may have beyond its settings.
#[derive(Clone, Default)]
pub struct Beyond {
    /// The version of the server's API.
    pub server_api: Option<ServerApi>,
    /// What it logs in with.
    pub authentication: Authentication,
}

/// What of logging in no connection string can hold.
#[derive(Clone, Default)]
pub struct Authentication {
    /// What gets a token for MONGODB-OIDC.
    pub oidc_callback: Option<Callback>,
    /// The hosts that a person's token may be sent to; the driver's, if not said.
    pub allowed_hosts: Option<Vec<String>>,
}

/// The driver's client, and what it does not tell of its options.
struct Connected {
    client: Client,
    retry_reads: bool,
    retry_writes: bool,
}

impl DriverClient {
    /// A client for `settings`, whose work runs on `runtime`.
    pub fn new(settings: DriverSettings, runtime: Handle) -> Self {
        Self::with_listener(settings, runtime, None, Beyond::default())
    }

    /// The same, telling `listener` what happens.
    pub fn with_listener(
        settings: DriverSettings,
        runtime: Handle,
        listener: Option<Arc<dyn Listener>>,
        beyond: Beyond,
    ) -> Self {
        warm_up(&runtime);
        let connections = Arc::new(Connections::new(&runtime));
        Self {
            settings,
            runtime,
            client: OnceCell::new(),
            coalescer: Coalescer::default(),
            own_sessions: OwnSessions::default(),
            connections,
            giving_up: GivingUp::default(),
            times: Times::default(),
            listener,
            topology: watch_channel::Sender::new(None),
            beyond,
        }
    }

    /// Who is told what happens.
    pub fn listener(&self) -> Option<&Arc<dyn Listener>> {
        self.listener.as_ref()
    }

    /// What is known of the servers.
    pub fn topology(&self) -> Option<bson::Document> {
        self.topology.borrow().as_ref().map(events::topology)
    }

    /// What is known of the servers once one of them has been reached.
    ///
    /// # Errors
    /// Those of any command.
    pub async fn reached(&self) -> Result<bson::Document> {
        let ping = bson::doc! { "ping": 1 };
        command::run_command(self, "admin".to_owned(), ping, command::How::reading(None)).await?;
        Ok(self.topology().unwrap_or_default())
    }

    /// Makes the client, and resolves the DNS seed list, if there is one.
    ///
    /// # Errors
    /// Those of the seed list.
    pub async fn prepare(&self) -> Result<()> {
        let namespace = Namespace::new("admin", "");
        let attempt = Attempt { doing: "connect for", namespace: &namespace, settings: &self.settings };
        self.connected(&attempt).await.map(drop)
    }

    /// What it was made from.
    pub fn settings(&self) -> &DriverSettings {
        &self.settings
    }

    /// The pooled client; resolves the DNS seed list, if there is one, until that succeeds once.
    async fn client(&self, attempt: &Attempt<'_>) -> Result<&Client> {
        Ok(&self.connected(attempt).await?.client)
    }

    async fn connected(&self, attempt: &Attempt<'_>) -> Result<&Connected> {
        self.connections.look();
        self.client.get_or_try_init(|| self.connect(attempt)).await
    }

    async fn connect(&self, attempt: &Attempt<'_>) -> Result<Connected> {
        let uri = ConnectionString::parse(self.settings.uri.expose()).map_err(|error| attempt.failed(&error))?;
        let timeout = uri.server_selection_timeout.unwrap_or(self.settings.server_selection_timeout);
        let mut options = tokio::time::timeout(timeout, ClientOptions::parse(uri))
            .await
            .unwrap_or_else(|_| Err(mongodb::error::Error::from(std::io::Error::from(std::io::ErrorKind::TimedOut))))
            .map_err(|error| self.unresolved(attempt, timeout, &error))?;
        options.server_selection_timeout = Some(timeout);
        options.max_pool_size.get_or_insert(MAX_POOL_SIZE);
        options.driver_info = Some(
            DriverInfo::builder().name(env!("CARGO_PKG_NAME")).version(env!("CARGO_PKG_VERSION").to_owned()).build(),
        );
        options.server_api = self.beyond.server_api.clone().or(options.server_api);
        self.beyond.authentication.add_to(&mut options);
        trust_ssl_cert_file(&mut options);
        Connections::prepare(&mut options);
        let connections = Arc::clone(&self.connections);
        events::listen(&mut options, self.listener.as_ref(), self.topology.clone(), connections);
        let (retry_reads, retry_writes) = (options.retry_reads != Some(false), options.retry_writes != Some(false));
        let client = Client::with_options(options).map_err(|error| attempt.failed(&error))?;
        Ok(Connected { client, retry_reads, retry_writes })
    }

    fn unresolved(&self, attempt: &Attempt<'_>, timeout: Duration, error: &mongodb::error::Error) -> Error {
        use mongodb::error::ErrorKind as Kind;
        if !matches!(*error.kind, Kind::DnsResolve { .. } | Kind::Io(_)) {
            return attempt.failed(error);
        }
        let reason = match &*error.kind {
            Kind::DnsResolve { message, .. } => crate::error::excerpt(message, 300),
            _ => format!("no answer within {} s", timeout.as_secs_f32()),
        };
        let hosts = &self.settings.hosts;
        Error::new(
            ErrorKind::ServerSelectionTimeout,
            format!(
                "{attempt}: the DNS records of {hosts} could not be looked up ({reason}): a mongodb+srv:// host needs an \
                 SRV record _mongodb._tcp.{hosts}; check the host's name and the DNS, or give host:port"
            ),
        )
    }

    /// The database.
    async fn database(&self, name: &str, attempt: &Attempt<'_>) -> Result<mongodb::Database> {
        Ok(self.client(attempt).await?.database(name))
    }

    /// The database, with what is set for it.
    async fn database_of(&self, namespace: &Namespace, attempt: &Attempt<'_>) -> Result<mongodb::Database> {
        let concerns = &namespace.concerns;
        let options = DatabaseOptions::builder()
            .read_concern(concerns.read_concern.clone())
            .write_concern(concerns.write_concern.clone())
            .selection_criteria(concerns.read_preference.clone())
            .build();
        Ok(self.client(attempt).await?.database_with_options(&namespace.database, options))
    }

    /// The collection, for documents that stay bytes.
    async fn collection(&self, namespace: &Namespace, attempt: &Attempt<'_>) -> Result<Collection<RawDocumentBuf>> {
        self.collection_in(namespace, attempt, None).await
    }

    /// The same, for a call of a session: in a transaction what the collection
    /// says of concerns and read preference does not count.
    async fn collection_in(
        &self,
        namespace: &Namespace,
        attempt: &Attempt<'_>,
        session: Option<&Session>,
    ) -> Result<Collection<RawDocumentBuf>> {
        let options = match session.is_some_and(Session::in_transaction) {
            true => CollectionOptions::default(),
            false => namespace.concerns.options(),
        };
        Ok(self.database(&namespace.database, attempt).await?.collection_with_options(&namespace.collection, options))
    }

    /// Whether a server can be asked without waiting for one.
    fn knows_a_server(&self) -> bool {
        let known = self.topology.borrow();
        known.as_ref().is_some_and(|topology| {
            topology.servers().values().any(|server| server.server_type() != ServerType::Unknown)
        })
    }

    /// Closes all connections. Calls in flight have [`CLOSE_TIME`] to end, and fail then.
    pub async fn close(&self) {
        if let Some(Connected { client, .. }) = self.client.get() {
            let until = Instant::now() + CLOSE_TIME;
            if self.knows_a_server() {
                drop(timeout_at(until, self.own_sessions.end(client)).await);
            }
            // The last call's session may be on its way back to the driver's pool, which ends those that are in it:
            // by a task of its cursor, and one of its own.
            for _ in 0..3 {
                drop(self.runtime.spawn(std::future::ready(())).await);
            }
            let client = client.clone();
            // The driver waits for the server's answer to `endSessions`, and for calls under way. In a task of its
            // own it gets to its end even if that comes after the time that a caller is to wait.
            let closing = self.runtime.spawn(async move { client.shutdown().immediate(true).await });
            if timeout_at(until, closing).await.is_err() {
                self.giving_up.give_up();
            }
        }
    }

    /// A call of this client: it fails where the client gives up.
    pub fn until_given_up<T, F: Future<Output = Result<T>> + Send>(
        &self,
        call: F,
    ) -> impl Future<Output = Result<T>> + Send + use<T, F> {
        self.giving_up.until(call)
    }

    /// For an interpreter that ends: gives up if calls are under way, and the server answers nothing.
    pub async fn give_up_if_silent(&self) {
        use mongodb::error::ErrorKind as Driver;
        let is_there = || {
            let client = self.client.get().map(|connected| connected.client.clone());
            let is_there = async move {
                let Some(client) = client else { return false };
                match client.database("admin").run_command(bson::doc! { "ping": 1 }).await {
                    // Also one that refuses is there.
                    Err(error) => !matches!(*error.kind, Driver::Io(_) | Driver::ServerSelection { .. }),
                    Ok(_) => true,
                }
            };
            is_there.boxed()
        };
        self.giving_up.at_exit(is_there).await;
    }
}

impl Authentication {
    fn add_to(&self, options: &mut ClientOptions) {
        let Some(credential) = &mut options.credential else { return };
        if credential.mechanism != Some(AuthMechanism::MongoDbOidc) {
            return;
        }
        if let Some(callback) = &self.oidc_callback {
            credential.oidc_callback = callback.clone();
        }
        if let Some(hosts) = &self.allowed_hosts {
            credential.mechanism_properties.get_or_insert_default().insert("ALLOWED_HOSTS", hosts.clone());
        }
    }
}

impl AsRef<Coalescer<Self>> for DriverClient {
    fn as_ref(&self) -> &Coalescer<Self> {
        &self.coalescer
    }
}

impl fmt::Debug for DriverClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverClient").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Drop for DriverClient {
    fn drop(&mut self) {
        // The driver's own clean-up spawns tasks, which needs the runtime's context.
        let _context = self.runtime.enter();
        // No call is under way: each holds on to this.
        self.own_sessions.clear();
        self.client = OnceCell::new();
    }
}

/// Has the driver make what it makes once in a process, by a client of no
/// server. Otherwise it would do so on the runtime's threads, and a child that
/// is forked meanwhile would wait for that for ever.
fn warm_up(runtime: &Handle) {
    static WARM: AtomicBool = AtomicBool::new(false);
    #[cfg(unix)]
    if !WARM.swap(true, Ordering::Relaxed) {
        let _context = runtime.enter();
        let mut options = ClientOptions::default();
        options.hosts = vec![ServerAddress::Unix { path: PathBuf::from("/nonexistent/mongodb.sock") }];
        drop(Client::with_options(options));
    }
}

/// The driver trusts the web's roots only; `SSL_CERT_FILE` is how everything
/// else in a container is told of a private one.
fn trust_ssl_cert_file(options: &mut ClientOptions) {
    if let Some(Tls::Enabled(tls)) = &mut options.tls {
        let file = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from).filter(|path| path.is_file());
        tls.ca_file_path = tls.ca_file_path.take().or(file);
    }
}
