//! The driver path: a pooled MongoDB client on top of the `mongodb` crate.

pub mod aggregate;
pub mod bulk;
pub mod command;
pub mod error;
pub mod events;
pub mod find;
mod identity;
mod idle;
pub mod insert;
mod reply_check;
mod retryable;
pub mod session;
mod size;
pub mod time_limit;
mod unacknowledged;
pub mod watch;
pub mod write;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bson::RawDocumentBuf;
use futures_util::FutureExt as _;
use mongodb::event::sdam::TopologyDescription;
use mongodb::options::oidc::Callback;
use mongodb::options::{
    AuthMechanism, ClientOptions, CollectionOptions, ConnectionString, DatabaseOptions, DriverInfo, ReadPreference,
    SelectionCriteria, ServerAddress, ServerApi, Tls, WriteConcern,
};
use mongodb::{Client, Collection, ServerType};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch as watch_channel};
use tokio::time::{Instant, timeout_at};

pub(crate) use crate::concern;
pub use crate::namespace::Namespace;

use crate::concern::is_unacknowledged;
use crate::config::DriverSettings;
use crate::error::Result;
use crate::giving_up::GivingUp;
use crate::insert_queue::InsertQueue;
use crate::limits::CLOSE_TIME;
use error::{Attempt, Attempted as _};
use events::Listener;
use idle::Connections;
use reply_check::ClusterTimes;
use retryable::WriteSessions;
use session::Session;

/// PyMongo's default, if the connection string does not set `maxPoolSize`.
const MAX_POOL_SIZE: u32 = 100;

/// PyMongo's default, if the connection string does not set `connectTimeoutMS`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// A MongoDB client. It connects on the first call, so that creating it does no I/O. When it is
/// dropped, its connections close after the last call has finished.
pub struct DriverClient {
    settings: DriverSettings,
    runtime: Handle,
    client: OnceCell<Connected>,
    insert_queue: InsertQueue<Self>,
    write_sessions: WriteSessions,
    connections: Arc<Connections>,
    giving_up: GivingUp,
    cluster_times: ClusterTimes,
    listener: Option<Arc<dyn Listener>>,
    topology: watch_channel::Sender<Option<TopologyDescription>>,
    beyond: ExtraClientOptions,
}

/// Client options that a connection string cannot contain.
#[derive(Clone, Default)]
pub struct ExtraClientOptions {
    /// The version of the Stable API.
    pub server_api: Option<ServerApi>,
    /// The authentication options.
    pub authentication: Authentication,
    /// What handshakes tell the server about the client, after the names of the driver and this package.
    pub metadata: Arc<Mutex<Vec<DriverInfo>>>,
    /// How long a command with merged inserts may take, if its callers do not wait any longer.
    pub merged_insert_time: Option<Duration>,
    /// The most connections to a server, in place of `maxPoolSize`.
    pub max_pool_size: Option<u32>,
}

/// Authentication options that a connection string cannot contain.
#[derive(Clone, Default)]
pub struct Authentication {
    /// The callback that returns a token for MONGODB-OIDC.
    pub oidc_callback: Option<Callback>,
    /// The hosts that may receive a human user's token. `None` means the driver's default.
    pub allowed_hosts: Option<Vec<String>>,
}

/// The driver's client and the options that it does not expose.
struct Connected {
    client: Client,
    /// The write concern of the connection string. The driver does not know it if it is unacknowledged.
    write_concern: Option<WriteConcern>,
    retry_reads: bool,
    retry_writes: bool,
    load_balanced: bool,
    max_pool_size: usize,
}

impl Connected {
    /// Returns the write concern of a call outside a transaction.
    fn write_concern_of<'a>(&'a self, namespace: &'a Namespace) -> Option<&'a WriteConcern> {
        namespace.concerns.write_concern.as_ref().or(self.write_concern.as_ref())
    }
}

impl DriverClient {
    /// Creates a client for `settings` that runs its tasks on `runtime` and reports events to
    /// `listener`.
    pub fn with_listener(
        settings: DriverSettings,
        runtime: Handle,
        listener: Option<Arc<dyn Listener>>,
        beyond: ExtraClientOptions,
    ) -> Self {
        warm_up(&runtime);
        let connections = Arc::new(Connections::new(&runtime));
        Self {
            settings,
            runtime,
            client: OnceCell::new(),
            insert_queue: InsertQueue::default(),
            write_sessions: WriteSessions::default(),
            connections,
            giving_up: GivingUp::default(),
            cluster_times: ClusterTimes::default(),
            listener,
            topology: watch_channel::Sender::new(None),
            beyond,
        }
    }

    /// Returns the listener of the client's events.
    pub fn listener(&self) -> Option<&Arc<dyn Listener>> {
        self.listener.as_ref()
    }

    /// Returns the current topology description.
    pub fn topology(&self) -> Option<bson::Document> {
        self.topology.borrow().as_ref().map(events::topology)
    }

    /// Returns the host and the port of the server that answers reads with this read preference, or `None` if that
    /// may be any of several servers. The driver does not tell which server answered.
    pub fn reading_server(&self, preference: Option<&SelectionCriteria>) -> Option<(String, u16)> {
        let topology = self.topology.borrow();
        let servers = topology.as_ref()?.servers();
        let preference = preference.or(self.client.get()?.client.selection_criteria());
        let of_primary = matches!(preference, None | Some(SelectionCriteria::ReadPreference(ReadPreference::Primary)));
        let mut candidates = servers.values().filter(|server| match servers.len() {
            1 => true,
            _ => of_primary && server.server_type() == ServerType::RsPrimary,
        });
        match (candidates.next()?.address(), candidates.next()) {
            (ServerAddress::Tcp { host, port }, None) => Some((host.clone(), port.unwrap_or(27017))),
            _ => None,
        }
    }

    /// Connects, then returns the topology description.
    ///
    /// # Errors
    /// Those of any command.
    pub async fn reached(&self) -> Result<bson::Document> {
        let ping = bson::doc! { "ping": 1 };
        command::run_command(self, "admin".to_owned(), ping, command::CommandOptions::reading(None)).await?;
        Ok(self.topology().unwrap_or_default())
    }

    /// Creates the driver's client and resolves the DNS seed list of a `mongodb+srv://` URI.
    ///
    /// # Errors
    /// `ServerSelectionTimeout` if the DNS seed list cannot be resolved.
    pub async fn prepare(&self) -> Result<()> {
        let namespace = Namespace::new("admin", "");
        let attempt = Attempt { doing: "connect for", namespace: &namespace, settings: &self.settings };
        self.connected(&attempt).await.map(drop)
    }

    /// Returns the settings that the client was created with.
    pub fn settings(&self) -> &DriverSettings {
        &self.settings
    }

    /// Returns whether the server acknowledges the writes of a call. In a transaction it always does.
    pub fn acknowledges(&self, namespace: &Namespace, session: Option<&Session>) -> bool {
        self.settings.acknowledges(&namespace.concerns) || session.is_some_and(Session::in_transaction)
    }

    /// Returns the driver's client. Resolves the DNS seed list until that has succeeded once.
    async fn client(&self, attempt: &Attempt<'_>) -> Result<&Client> {
        Ok(&self.connected(attempt).await?.client)
    }

    async fn connected(&self, attempt: &Attempt<'_>) -> Result<&Connected> {
        self.connections.poll();
        // A box: every call's future would have room for that of connecting.
        self.client.get_or_try_init(|| Box::pin(self.connect(attempt))).await
    }

    async fn connect(&self, attempt: &Attempt<'_>) -> Result<Connected> {
        let uri = ConnectionString::parse(self.settings.uri.expose()).map_err(|error| attempt.failed(&error))?;
        let timeout = uri.server_selection_timeout.unwrap_or(self.settings.server_selection_timeout);
        let mut options = tokio::time::timeout(timeout, ClientOptions::parse(uri))
            .await
            .unwrap_or_else(|_| Err(mongodb::error::Error::from(std::io::Error::from(std::io::ErrorKind::TimedOut))))
            .map_err(|error| attempt.unresolved(timeout, &error))?;
        options.server_selection_timeout = Some(timeout);
        if let Some(size) = self.beyond.max_pool_size {
            (options.max_pool_size, options.min_pool_size) = (Some(size), None);
        }
        let max_pool_size = *options.max_pool_size.get_or_insert(MAX_POOL_SIZE);
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
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
        let write_concern = options.write_concern.clone();
        options.write_concern = options.write_concern.filter(|concern| !is_unacknowledged(concern));
        let load_balanced = options.load_balanced == Some(true);
        let client = Client::with_options(options).map_err(|error| attempt.failed(&error))?;
        for info in self.metadata() {
            client.append_metadata(info).map_err(|error| attempt.failed(&error))?;
        }
        let max_pool_size = usize::try_from(max_pool_size).unwrap_or(usize::MAX);
        Ok(Connected { client, write_concern, retry_reads, retry_writes, load_balanced, max_pool_size })
    }

    fn metadata(&self) -> Vec<DriverInfo> {
        self.beyond.metadata.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the server about the client what was added to its metadata, in the handshakes of new connections.
    ///
    /// # Errors
    /// `Configuration` if the driver rejects it.
    pub fn refresh_metadata(&self) -> Result<()> {
        let Some(connected) = self.client.get() else { return Ok(()) };
        let namespace = Namespace::new("admin", "");
        let attempt = Attempt { doing: "connect for", namespace: &namespace, settings: &self.settings };
        // The driver ignores what it knows already.
        self.metadata().into_iter().try_for_each(|info| connected.client.append_metadata(info)).attempted(&attempt)
    }

    /// Returns the database with the client's options.
    async fn database(&self, name: &str, attempt: &Attempt<'_>) -> Result<mongodb::Database> {
        Ok(self.client(attempt).await?.database(name))
    }

    /// Returns the database with the options of the namespace.
    async fn database_of(&self, namespace: &Namespace, attempt: &Attempt<'_>) -> Result<mongodb::Database> {
        let concerns = &namespace.concerns;
        let options = DatabaseOptions::builder()
            .read_concern(concerns.read_concern.clone())
            .write_concern(concerns.write_concern_of_actions())
            .selection_criteria(concerns.read_preference.clone())
            .build();
        Ok(self.client(attempt).await?.database_with_options(&namespace.database, options))
    }

    /// Returns the collection for raw documents.
    async fn collection(&self, namespace: &Namespace, attempt: &Attempt<'_>) -> Result<Collection<RawDocumentBuf>> {
        self.collection_in(namespace, attempt, None).await
    }

    /// Returns the collection for a call in a session. In a transaction, the collection's own
    /// concerns and read preference do not apply.
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

    /// Returns whether a server is known, so that server selection need not wait.
    fn has_known_server(&self) -> bool {
        self.server_type().is_some()
    }

    /// Returns the type of a server, if one is known.
    fn server_type(&self) -> Option<ServerType> {
        let known = self.topology.borrow();
        let servers = known.as_ref()?.servers();
        servers.values().map(mongodb::ServerInfo::server_type).find(|kind| *kind != ServerType::Unknown)
    }

    /// Closes all connections. Calls that are pending after [`CLOSE_TIME`] fail.
    pub async fn close(&self) {
        if let Some(Connected { client, .. }) = self.client.get() {
            let until = Instant::now() + CLOSE_TIME;
            if self.has_known_server() {
                drop(timeout_at(until, self.write_sessions.end(client)).await);
            }
            // Let the last call return its session to the driver's pool, which ends the pooled sessions: a task of its
            // cursor does so, and then one of its own.
            for _ in 0..3 {
                drop(self.runtime.spawn(std::future::ready(())).await);
            }
            let client = client.clone();
            // The driver waits for the server's response to `endSessions` and for pending calls. A separate task
            // completes the shutdown even if it takes longer than the caller waits.
            let closing = self.runtime.spawn(async move { client.shutdown().immediate(true).await });
            if timeout_at(until, closing).await.is_err() {
                self.giving_up.give_up();
            }
        }
    }

    /// Awaits a call, or fails once the client gives up.
    pub fn until_given_up<T, F: Future<Output = Result<T>> + Send>(
        &self,
        call: F,
    ) -> impl Future<Output = Result<T>> + Send + use<T, F> {
        self.giving_up.until(call)
    }

    /// At the interpreter's exit: fails pending calls if the server is unresponsive.
    pub async fn give_up_if_silent(&self) {
        let is_reachable = || {
            let client = self.client.get().map(|connected| connected.client.clone());
            let is_reachable = async move {
                let Some(client) = client else { return false };
                match client.database("admin").run_command(bson::doc! { "ping": 1 }).await {
                    // A server that rejects the command is reachable.
                    Err(error) => !error::is_unreachable(&error),
                    Ok(_) => true,
                }
            };
            is_reachable.boxed()
        };
        self.giving_up.at_exit(is_reachable).await;
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
        identity::use_metadata_service(credential);
    }
}

impl AsRef<InsertQueue<Self>> for DriverClient {
    fn as_ref(&self) -> &InsertQueue<Self> {
        &self.insert_queue
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
        // No call is pending, since each holds a reference to the client.
        self.write_sessions.clear();
        self.client = OnceCell::new();
    }
}

/// Initializes the driver's global state by creating a client that never connects. Otherwise the
/// driver would initialize it on the runtime's threads, and a child that is forked meanwhile would
/// wait forever.
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

/// Trusts the certificates in `SSL_CERT_FILE`, as other software in a container does. By default
/// the driver trusts public root certificates only.
fn trust_ssl_cert_file(options: &mut ClientOptions) {
    if let Some(Tls::Enabled(tls)) = &mut options.tls {
        let file = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from).filter(|path| path.is_file());
        tls.ca_file_path = tls.ca_file_path.take().or(file);
    }
}
