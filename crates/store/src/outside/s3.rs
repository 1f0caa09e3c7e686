//! Pieces as objects of an S3 bucket.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use object_store::{
    BackoffConfig, Error, ObjectStore as _, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};

use super::{BodiesError, Fault, Found, crypto::OpenSsl, http::Http, settings::S3Settings};

/// Of one exchange that failed; the whole operation has its own time.
const RETRIES_MAX: usize = 3;
const RETRY_MAX: Duration = Duration::from_secs(8);
/// Of the words of a server, for the log.
const DETAIL_CHARS_MAX: usize = 200;

pub(super) struct Bucket {
    client: AmazonS3,
    prefix: String,
}

impl Bucket {
    pub(super) fn new(settings: &S3Settings) -> Result<Self, BodiesError> {
        if settings.key.secret.is_empty() {
            return Err(BodiesError::NoKey);
        }
        let origin = settings.origin()?;
        let http = Http::new(origin, settings.ca_file.as_deref())?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_access_key_id(&settings.key.id)
            .with_secret_access_key(&settings.key.secret)
            // Plain HTTP was refused before, except on this machine.
            .with_allow_http(true)
            // Not every server has it.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(1),
                    base: 2.0,
                },
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_MAX,
            })
            .with_crypto_provider(Arc::new(OpenSsl))
            .with_http_connector(http);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        let wrong =
            |error: Error| BodiesError::Unavailable { place: settings.bucket.clone(), detail: error.to_string() };
        Ok(Self { client: builder.build().map_err(wrong)?, prefix: settings.prefix.clone() })
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    /// The bucket is there, or the server would have made it.
    pub(super) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Fault> {
        match self.client.put(&self.path(name), bytes.into()).await {
            Ok(_) => Ok(()),
            Err(error @ Error::NotFound { .. }) => Err(Fault::Refused(detail(&error))),
            Err(error) => Err(fault(&error)),
        }
    }

    /// An object is replaced as a whole.
    pub(super) async fn replace(&self, name: &str, bytes: Bytes) -> Result<(), Fault> {
        self.put(name, bytes).await
    }

    pub(super) async fn get(&self, name: &str) -> Result<Bytes, Fault> {
        let found = self.client.get(&self.path(name)).await.map_err(|error| fault(&error))?;
        found.bytes().await.map_err(|error| fault(&error))
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Fault> {
        match self.client.delete(&self.path(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(fault(&error)),
        }
    }

    /// The objects of a folder, by their last names.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Found>, Fault> {
        let listed = self.client.list_with_delimiter(Some(&self.path(folder))).await.map_err(|error| fault(&error))?;
        let found = listed.objects.into_iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            Some(Found { name, modified_ms: object.last_modified.timestamp_millis() })
        });
        Ok(found.collect())
    }
}

fn fault(error: &Error) -> Fault {
    match error {
        Error::NotFound { .. } => Fault::Missing,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Fault::Refused(detail(error)),
        error => Fault::Unavailable(detail(error)),
    }
}

/// What was at the bottom of it.
fn detail(error: &Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string().chars().take(DETAIL_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
