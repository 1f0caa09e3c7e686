//! Bodies outside the database: in a folder that all nodes share, or in a bucket of an S3 server. A piece of a body is one
//! object.
//!
//! ```text
//!   PLACE/FLEET/place               the fleet's mark: it says that this is the place, and mounted, and who may delete (mark.rs)
//!   PLACE/FLEET/SHARD/MESSAGE-PIECE one piece; FLEET is an id that the database has, SHARD two digits of the key
//! ```
//!
//! Invariants: what `put` returned for is durable. Every operation ends within [`OPERATION_MAX`]. Nothing here knows which
//! messages there are; the database does.

mod crypto;
mod error;
mod folder;
mod http;
mod mark;
mod s3;
mod settings;

use std::{future::Future, time::Duration};

use bytes::Bytes;
pub use error::BodiesError;
use folder::Folder;
pub(crate) use mark::{Mark, Owner};
use s3::Bucket;
pub use settings::{BodiesSettings, BodyPlace, Origin, S3Key, S3Settings};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{Disk, MessageKey, Result, StoreError};

/// As long as a commit is given.
const OPERATION_MAX: Duration = Duration::from_secs(10);
const MARK: &str = "place";
const SHARDS: u8 = u8::MAX;

/// What became of an operation that was not done.
#[derive(Debug)]
enum Fault {
    Missing,
    Full,
    Refused(String),
    Unavailable(String),
}

/// An object that was listed.
struct Found {
    name: String,
    /// Since 1970.
    modified_ms: i64,
}

/// A piece that is there, whether a message needs it or not.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) message: MessageKey,
    pub(crate) piece: u32,
    /// Since 1970, by the clock of the place.
    pub(crate) modified_ms: i64,
}

/// The place of a fleet's bodies.
pub(crate) struct Outside {
    settings: BodiesSettings,
    objects: Objects,
    fleet: Uuid,
}

enum Objects {
    Folder(Folder),
    S3(Box<Bucket>),
}

macro_rules! each {
    ($objects:expr, $one:ident => $call:expr) => {
        match $objects {
            Objects::Folder($one) => in_time($call).await,
            Objects::S3($one) => in_time($call).await,
        }
    };
}

async fn in_time<T>(operation: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let too_late = |_| Err(Fault::Unavailable(format!("no answer within {} s", OPERATION_MAX.as_secs())));
    timeout(OPERATION_MAX, operation).await.unwrap_or_else(too_late)
}

impl Outside {
    pub(crate) fn new(settings: &BodiesSettings, fleet: Uuid) -> Result<Self, BodiesError> {
        let objects = match &settings.place {
            BodyPlace::Folder(path) => Objects::Folder(Folder::new(path)),
            BodyPlace::S3(s3) => Objects::S3(Box::new(Bucket::new(s3)?)),
        };
        Ok(Self { settings: settings.clone(), objects, fleet })
    }

    pub(crate) fn fleet(&self) -> Uuid {
        self.fleet
    }

    pub(crate) fn place(&self) -> String {
        self.settings.place.to_string()
    }

    /// Larger bodies are here.
    pub(crate) fn above(&self) -> usize {
        self.settings.above
    }

    pub(crate) fn orphan_age(&self) -> Duration {
        self.settings.orphan_age
    }

    pub(crate) fn mark_name(&self) -> String {
        format!("{}/{MARK}", self.fleet)
    }

    /// Makes what must be there, and tries all that nodes do there.
    pub(crate) async fn prepare(&self) -> Result<()> {
        if let Objects::Folder(folder) = &self.objects {
            let (fleet, shards) = (self.fleet.to_string(), (0..=SHARDS).map(|shard| format!("{shard:02x}")));
            in_time(folder.make(&fleet, shards)).await.map_err(|fault| self.error(fault))?;
        }
        let trial = format!("{}/trial-{}", self.fleet, Uuid::now_v7());
        self.put_object(&trial, Bytes::from_static(b"trial\n")).await?;
        self.delete_object(&trial).await?;
        self.list(0).await.map(drop)
    }

    /// `None` if it is not the fleet's place.
    pub(crate) async fn read_mark(&self) -> Result<Option<Mark>> {
        match each!(&self.objects, objects => objects.get(&self.mark_name())) {
            Ok(bytes) => Ok(Some(Mark::parse(&bytes))),
            Err(Fault::Missing) => Ok(None),
            Err(fault) => Err(self.error(fault)),
        }
    }

    /// Who reads it meanwhile finds the old mark or the new one.
    pub(crate) async fn mark(&self, mark: &Mark) -> Result<()> {
        let (name, bytes) = (self.mark_name(), mark.to_bytes());
        each!(&self.objects, objects => objects.replace(&name, bytes)).map_err(|fault| self.error(fault))
    }

    pub(crate) async fn unmark(&self) -> Result<()> {
        self.delete_object(&self.mark_name()).await
    }

    /// Writes a piece durably. Writing it again replaces it.
    pub(crate) async fn put(&self, message: MessageKey, piece: u32, bytes: Bytes) -> Result<()> {
        self.put_object(&self.name(message, piece), bytes).await
    }

    /// A piece of a message with this number of pieces.
    pub(crate) async fn get(&self, message: MessageKey, piece: u32, pieces: u32) -> Result<Bytes> {
        each!(&self.objects, objects => objects.get(&self.name(message, piece))).map_err(|fault| match fault {
            Fault::Missing => BodiesError::Missing { place: self.place(), piece: piece + 1, pieces }.into(),
            fault => self.error(fault),
        })
    }

    /// What is not there counts as deleted.
    pub(crate) async fn delete(&self, message: MessageKey, pieces: std::ops::Range<u32>) -> Result<()> {
        for piece in pieces {
            self.delete_object(&self.name(message, piece)).await?;
        }
        Ok(())
    }

    /// What is there, one of 256 parts at a time.
    pub(crate) async fn list(&self, shard: u8) -> Result<Vec<Piece>> {
        let folder = format!("{}/{shard:02x}", self.fleet);
        let found = each!(&self.objects, objects => objects.list(&folder)).map_err(|fault| self.error(fault))?;
        Ok(found.iter().filter_map(piece_of).collect())
    }

    fn name(&self, message: MessageKey, piece: u32) -> String {
        format!("{}/{:02x}/{:016x}-{piece:06}", self.fleet, shard(message), message.0)
    }

    async fn put_object(&self, name: &str, bytes: Bytes) -> Result<()> {
        each!(&self.objects, objects => objects.put(name, bytes)).map_err(|fault| self.error(fault))
    }

    async fn delete_object(&self, name: &str) -> Result<()> {
        each!(&self.objects, objects => objects.delete(name)).map_err(|fault| self.error(fault))
    }

    fn error(&self, fault: Fault) -> StoreError {
        let place = self.place();
        match fault {
            Fault::Full => StoreError::Full(Disk::Bodies),
            Fault::Refused(detail) => BodiesError::Refused { place, detail }.into(),
            Fault::Missing => BodiesError::Unavailable { place, detail: "not found".to_owned() }.into(),
            Fault::Unavailable(detail) => BodiesError::Unavailable { place, detail }.into(),
        }
    }
}

/// The bits of a key that differ from one millisecond to the next.
fn shard(message: MessageKey) -> u8 {
    (message.0 >> 22) as u8
}

/// Other files are left alone.
fn piece_of(found: &Found) -> Option<Piece> {
    let (message, piece) = found.name.split_once('-')?;
    let message = MessageKey(i64::from_str_radix(message, 16).ok()?);
    Some(Piece { message, piece: piece.parse().ok()?, modified_ms: found.modified_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(folder: &std::path::Path) -> Outside {
        Outside::new(&BodiesSettings::new(BodyPlace::Folder(folder.to_owned())), Uuid::nil()).unwrap()
    }

    #[tokio::test]
    async fn pieces_of_a_folder_come_back_and_are_listed_until_they_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let outside = outside(folder.path());
        outside.prepare().await.unwrap();
        assert_eq!(outside.read_mark().await.unwrap(), None);
        let mark = |at| Mark::new(Owner { store: Uuid::from_u128(1), server: "1/5".to_owned() }, at);
        for at in [1, 2] {
            outside.mark(&mark(at)).await.unwrap();
            assert_eq!(outside.read_mark().await.unwrap(), Some(mark(at)));
        }
        let message = MessageKey(0x0123_4567_89ab_cdef);
        for (piece, bytes) in [(0, "one"), (1, "two"), (1, "two again")] {
            outside.put(message, piece, Bytes::from(bytes)).await.unwrap();
        }
        assert_eq!(outside.get(message, 1, 2).await.unwrap(), "two again");
        std::fs::write(folder.path().join(format!("{}/{:02x}/other", Uuid::nil(), shard(message))), "").unwrap();
        let mut listed: Vec<_> = outside.list(shard(message)).await.unwrap();
        listed.sort_by_key(|piece| piece.piece);
        let keys: Vec<_> = listed.iter().map(|piece| (piece.message, piece.piece)).collect();
        assert_eq!(keys, [(message, 0), (message, 1)]);
        outside.delete(message, 0..3).await.unwrap();
        let missing = outside.get(message, 1, 2).await.unwrap_err().to_string();
        assert!(
            missing.contains("piece 2 of 2") && missing.contains(&folder.path().display().to_string()),
            "{missing}"
        );
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let outside = outside(&folder.path().join("not mounted"));
        let error = outside.prepare().await.unwrap_err().to_string();
        assert!(error.contains("not mounted") && error.contains("no such folder"), "{error}");
        assert!(outside.put(MessageKey(1), 0, Bytes::new()).await.is_err());
    }
}
