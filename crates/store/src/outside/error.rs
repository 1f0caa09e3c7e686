//! What is wrong with the place of the bodies that are outside the database, and what an operator can do about it.

/// Why a body that is outside the database cannot be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BodiesError {
    #[error(
        "\"{text}\" is neither an absolute path nor an S3 bucket; write /FOLDER, s3://BUCKET or s3://BUCKET/PREFIX"
    )]
    Place { text: String },
    #[error("\"{text}\" is not an S3 endpoint ({detail}); write https://HOST or https://HOST:PORT")]
    Endpoint { text: String, detail: &'static str },
    #[error("[store] bodies names an S3 bucket, which requires bodies_key_file; set both")]
    NoKey,
    #[error(
        "{file} is not a key for S3; write the access key ID in its first line and the secret access key in its second"
    )]
    KeyFile { file: String },
    #[error("[store] bodies_ca_file {file} cannot be used ({detail}); it must have certificates in PEM format")]
    CaFile { file: String, detail: String },
    /// It does not answer, or has no room, or has a fault.
    #[error("{place}, where the bodies of large messages are, is not available ({detail})")]
    Unavailable { place: String, detail: String },
    /// It does not let this node in.
    #[error(
        "{place}, where the bodies of large messages are, refuses access ({detail}); this node must be allowed to \
         read, write, list and delete there"
    )]
    Refused { place: String, detail: String },
    /// It answers, and has not got it.
    #[error(
        "piece {piece} of {pieces} of the message's content is missing in {place}; put it back there, or remove the message from the queue"
    )]
    Missing { place: String, piece: u32, pieces: u32 },
    /// This fleet's mark is not where it must be, so that this is another place, or one that is not mounted.
    #[error(
        "the bodies of this fleet's large messages are in {recorded}, and {place} is not that place: the file {mark} \
         is missing there. Mount it, or correct [store] bodies; if it has moved, copy all of it. To go on without the \
         bodies that were there, and lose that mail: gatepost serve --accept-loss"
    )]
    Elsewhere { recorded: String, place: String, mark: String },
    #[error(
        "the bodies of this fleet's large messages are in {recorded}, and [store] bodies is not set on this node; set \
         it as on the other nodes. To go on without the bodies that were there, and lose that mail: gatepost serve \
         --accept-loss"
    )]
    NotSet { recorded: String },
    /// To do without the bodies that are there is for a fleet that does not run.
    #[error(
        "node {node} is running (host {host}, process {process}), and uses the bodies in {recorded}: stop all nodes before \
         gatepost serve --accept-loss, and then start them with the same [store] bodies as this one; a node that was \
         killed counts as running for {valid} s"
    )]
    InUse { node: String, host: String, process: u32, recorded: String, valid: u64 },
}
