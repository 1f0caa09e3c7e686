//! The sending side's contexts: one for each combination of policy, trust and client certificate, made when it is first
//! needed, with the sessions that its destinations offered to take up again.

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
    /// The handshake fails where chain or name do not pass. Otherwise they are looked at and told of only (RFC 7435).
    pub verify: bool,
    /// Certificates to trust instead of the system's, PEM.
    pub authorities: Option<PathBuf>,
    /// Shown to a server that asks for it.
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
    /// Whether connections can be made under these settings: certificates and keys are there and fit.
    pub fn check(&self, settings: &TlsSettings) -> Result<(), TlsError> {
        self.connector(settings).map(drop)
    }

    pub(crate) fn connector(&self, settings: &TlsSettings) -> Result<Arc<Connector>, TlsError> {
        if let Some(connector) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(settings) {
            return Ok(Arc::clone(connector));
        }
        // Made without the lock, since it reads files; whoever comes second replaces the first.
        let connector = Arc::new(Connector::new(settings)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(settings.clone(), Arc::clone(&connector));
        Ok(connector)
    }
}

/// A context with the sessions that were made under it.
pub(crate) struct Connector {
    context: SslConnector,
    sessions: Arc<Sessions>,
}

/// Where a session was made.
type SessionKey = (String, SocketAddr);

/// Sessions by destination. Bounded: when full, all go, at the price of one full handshake each.
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

    /// A ticket of TLS 1.3 should be used once only (RFC 8446 appendix C.4).
    fn take(&self, key: &SessionKey) -> Option<SslSession> {
        let mut sessions = self.lock();
        let session = sessions.get(key)?.clone();
        // OpenSSL takes up an old session without a look at its age, nor at the certificate that it was made with.
        let is_old = session.time() + session.timeout() < seconds_now();
        if is_old || session.protocol_version() == SslVersion::TLS1_3 {
            sessions.remove(key);
        }
        (!is_old).then_some(session)
    }
}

/// Where a connection's [`SessionKey`] is kept for the callback.
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

    /// A connection's state, with the session of an earlier one to take up again where there is one.
    #[expect(unsafe_code, reason = "OpenSSL wants a session to be used with the context that it was made under")]
    pub(super) fn open(&self, host: &str, address: SocketAddr) -> Result<Ssl, ErrorStack> {
        let mut ssl = self.context.configure()?.into_ssl(without_brackets(host))?;
        let key = (host.to_owned(), address);
        if let Some(session) = self.sessions.take(&key) {
            // SAFETY: `sessions` holds only what the callback of this very context was given.
            unsafe { ssl.set_session(&session) }?;
        }
        ssl.set_ex_data(key_index()?, key);
        Ok(ssl)
    }

    /// After a failure: a session that went stale must not fail twice.
    pub(super) fn forget(&self, host: &str, address: SocketAddr) {
        self.sessions.lock().remove(&(host.to_owned(), address));
    }
}

/// A context that allows what the policy allows.
pub(super) fn under(policy: &TlsPolicy) -> Result<SslConnectorBuilder, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    // One system call for a record, not two.
    builder.set_read_ahead(true);
    builder.set_security_level(policy.security_level);
    builder.set_min_proto_version(Some(version(policy.minimum)))?;
    builder.set_max_proto_version(Some(version(policy.maximum)))?;
    if !policy.ciphers.trim().is_empty() {
        // Without certificate or without encryption, all else would be in vain.
        builder.set_cipher_list(&format!("{}:!aNULL:!eNULL", policy.ciphers))?;
    }
    builder.set_ciphersuites(&policy.suites)?;
    builder.set_groups_list(&policy.groups)?;
    Ok(builder)
}

/// Since 1970, as sessions count.
fn seconds_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs() as i64)
}

/// The address of an address literal (RFC 5321 section 4.1.3); any other host as it is.
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

/// The system's certificates are found where distributions keep them: a vendored OpenSSL does not know.
pub(super) fn trust(builder: &mut SslConnectorBuilder, authorities: Option<&Path>) -> Result<(), TlsError> {
    let system = || openssl_probe::probe().cert_file;
    // Instead of the system's, not beside them.
    builder.set_cert_store(X509StoreBuilder::new()?.build());
    let Some(path) = authorities.map(Path::to_owned).or_else(system) else { return Ok(()) };
    builder.set_ca_file(&path).map_err(|source| TlsError::Authorities { path, source })
}
