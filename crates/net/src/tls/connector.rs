//! The sending side's TLS contexts: one for each combination of policy, trust and client certificate. Each is created
//! when it is first needed, and keeps the sessions that its destinations offer for resumption.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use openssl::{
    error::ErrorStack,
    ex_data::Index,
    ssl::{
        Ssl, SslConnector, SslConnectorBuilder, SslMethod, SslSession, SslSessionCacheMode, SslVerifyMode, SslVersion,
    },
    x509::store::X509StoreBuilder,
};
use protocol::tls::{TlsPolicy, TlsVersion};

use super::{TlsError, clear_errors, identify, load_providers};

/// How a connection is to be encrypted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TlsSettings {
    pub policy: TlsPolicy,
    /// True: the handshake fails if the chain or the name is not valid. False: both are only checked and reported (RFC
    /// 7435).
    pub verify: bool,
    /// Certificates to trust instead of the system's, PEM.
    pub authorities: Option<PathBuf>,
    /// The client certificate for a server that asks for one.
    pub identity: Option<Identity>,
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The contexts of all connections of a node.
#[derive(Default)]
pub struct TlsContext(Mutex<HashMap<TlsSettings, Arc<Connector>>>);

impl TlsContext {
    /// Checks that connections can use these settings: certificates and keys exist and belong together.
    pub fn check(&self, settings: &TlsSettings) -> Result<(), TlsError> {
        self.connector(settings).map(drop)
    }

    pub(crate) fn connector(&self, settings: &TlsSettings) -> Result<Arc<Connector>, TlsError> {
        if let Some(connector) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(settings) {
            return Ok(Arc::clone(connector));
        }
        // Created without the lock, because it reads files. If two tasks create it, the second replaces the first.
        let connector = Arc::new(Connector::new(settings)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(settings.clone(), Arc::clone(&connector));
        Ok(connector)
    }
}

/// A context with its sessions.
pub(crate) struct Connector {
    context: SslConnector,
    sessions: Arc<Sessions>,
}

/// The destination of a session.
type SessionKey = (String, SocketAddr);

/// Sessions by destination. When the table is full, all are dropped. Each then costs one full handshake.
#[derive(Default)]
struct Sessions(Mutex<HashMap<SessionKey, SslSession>>);

const SESSIONS_MAX: usize = 1000;

impl Sessions {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionKey, SslSession>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: SessionKey, session: SslSession) {
        let mut sessions = self.lock();
        if sessions.len() >= SESSIONS_MAX {
            sessions.clear();
        }
        sessions.insert(key, session);
    }

    /// A TLS 1.3 ticket should be used only once (RFC 8446 appendix C.4).
    fn take(&self, key: &SessionKey) -> Option<SslSession> {
        let mut sessions = self.lock();
        let session = sessions.get(key)?.clone();
        // OpenSSL resumes an old session without checking its age or its certificate.
        let is_old = session.time() + session.timeout() < seconds_now();
        if is_old || session.protocol_version() == SslVersion::TLS1_3 {
            sessions.remove(key);
        }
        (!is_old).then_some(session)
    }
}

/// The place of a connection's [`SessionKey`] for the callback.
fn key_index() -> Result<Index<Ssl, SessionKey>, ErrorStack> {
    static INDEX: OnceLock<Result<Index<Ssl, SessionKey>, ErrorStack>> = OnceLock::new();
    INDEX.get_or_init(Ssl::new_ex_index).clone()
}

impl Connector {
    fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        load_providers()?;
        let mut builder = under(&settings.policy)?;
        builder.set_verify(if settings.verify { SslVerifyMode::PEER } else { SslVerifyMode::NONE });
        trust(&mut builder, settings.authorities.as_deref())?;
        if let Some(Identity { certificate, key }) = &settings.identity {
            identify(&mut builder, certificate, key)?;
        }
        let sessions = Arc::new(Sessions::default());
        let (kept, index) = (Arc::clone(&sessions), key_index()?);
        builder.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        builder.set_new_session_callback(move |ssl, session| {
            if let Some(key) = ssl.ex_data(index) {
                kept.keep(key.clone(), session);
            }
        });
        let context = builder.build();
        clear_errors();
        Ok(Self { context, sessions })
    }

    /// A connection's state, with an earlier session to resume, if there is one.
    #[expect(unsafe_code, reason = "OpenSSL requires a session to be used with the context that created it")]
    pub(super) fn open(&self, host: &str, address: SocketAddr) -> Result<Ssl, ErrorStack> {
        let mut ssl = self.context.configure()?.into_ssl(without_brackets(host))?;
        let key = (host.to_owned(), address);
        if let Some(session) = self.sessions.take(&key) {
            // SAFETY: `sessions` contains only sessions that the callback of this context received.
            unsafe { ssl.set_session(&session) }?;
        }
        ssl.set_ex_data(key_index()?, key);
        Ok(ssl)
    }

    /// Drops the session after a failure, so that a stale session cannot fail twice.
    pub(super) fn forget(&self, host: &str, address: SocketAddr) {
        self.sessions.lock().remove(&(host.to_owned(), address));
    }
}

/// A context with the settings of a policy.
pub(super) fn under(policy: &TlsPolicy) -> Result<SslConnectorBuilder, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    // One system call for a record, not two.
    builder.set_read_ahead(true);
    builder.set_security_level(policy.security_level);
    builder.set_min_proto_version(Some(version(policy.minimum)))?;
    builder.set_max_proto_version(Some(version(policy.maximum)))?;
    if !policy.ciphers.trim().is_empty() {
        // Suites without a certificate or without encryption would protect nothing.
        builder.set_cipher_list(&format!("{}:!aNULL:!eNULL", policy.ciphers))?;
    }
    builder.set_ciphersuites(&policy.suites)?;
    builder.set_groups_list(&policy.groups)?;
    Ok(builder)
}

/// Seconds since 1970, as in sessions.
fn seconds_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs() as i64)
}

/// The address of an address literal (RFC 5321 section 4.1.3). Any other host unchanged.
fn without_brackets(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    inner.strip_prefix("IPv6:").unwrap_or(inner)
}

fn version(version: TlsVersion) -> SslVersion {
    match version {
        TlsVersion::Tls10 => SslVersion::TLS1,
        TlsVersion::Tls11 => SslVersion::TLS1_1,
        TlsVersion::Tls12 => SslVersion::TLS1_2,
        TlsVersion::Tls13 => SslVersion::TLS1_3,
    }
}

/// Sets the trusted certificates. A vendored OpenSSL does not know where a distribution keeps the system's
/// certificates, so openssl-probe finds them.
pub(super) fn trust(builder: &mut SslConnectorBuilder, authorities: Option<&Path>) -> Result<(), TlsError> {
    let system = || openssl_probe::probe().cert_file;
    // These replace the system's certificates.
    builder.set_cert_store(X509StoreBuilder::new()?.build());
    let Some(path) = authorities.map(Path::to_owned).or_else(system) else { return Ok(()) };
    builder.set_ca_file(&path).map_err(|source| TlsError::Authorities { path, source })
}
