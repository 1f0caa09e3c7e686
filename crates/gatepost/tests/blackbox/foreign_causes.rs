//! Root causes where they are known for sure: foreign mail servers that are misconfigured for real, and the lab's
//! devices, each before a node; and what the same attempts tell from each kind of file alone.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use lab::{Device, Dumpcap, Identity, Options, Server};
use serde_json::Value;

use crate::support::{
    Exim, Node, Postfix,
    foreign::{MailServer, open_folder, peers},
    wait_for,
};

/// What a source must name first of an attempt.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Named {
    /// This cause, surer than not.
    Cause(&'static str),
    /// This cause, no surer than a half: it may as well be another.
    Guess(&'static str),
}

use Named::{Cause, Guess};

impl Named {
    fn fits(self, finding: &Value) -> bool {
        let confidence = finding["confidence"].as_f64().unwrap_or(0.0);
        match self {
            Cause(cause) => finding["cause"] == cause && confidence > 0.5,
            Guess(cause) => finding["cause"] == cause && confidence <= 0.5,
        }
    }
}

/// One way to be stuck.
struct Case {
    /// Of the connector too, and of its domain.
    name: String,
    port: u16,
    /// Keys of the connector.
    connector: String,
    /// Bytes of each message.
    messages: Vec<usize>,
    /// By each source alone: history, protocol log, detailed message trace, tracking log.
    named: Named,
}

const SMALL: usize = 500;
const GREYLISTING: &str = "postfix-greylisting";

/// Short waits, so that silence is noticed soon.
const IMPATIENT: &str = "timeouts = { banner = \"1s\", ehlo = \"2s\", starttls = \"1s\", content = \"2s\", \
                         mail = \"2s\", rcpt = \"5s\", data = \"2s\", end_of_data = \"2s\" }\n";

impl Case {
    fn new(name: &str, port: u16, connector: &str, named: Named) -> Self {
        Self { name: name.to_owned(), port, connector: connector.to_owned(), messages: vec![SMALL], named }
    }

    fn messages(mut self, bytes: &[usize]) -> Self {
        self.messages = bytes.to_vec();
        self
    }

    /// A connector with a domain of its own. By name, so that there is a name for a certificate to match.
    fn tables(&self) -> String {
        let Self { name, port, connector, .. } = self;
        format!(
            "[[accepted_domain]]\nname = \"{name}.test\"\nconnector = \"{name}\"\n\
             [[connector]]\nname = \"{name}\"\nhosts = [\"localhost:{port}\"]\n{IMPATIENT}{connector}\n"
        )
    }

    fn send(&self, node: &Node) {
        for (number, bytes) in self.messages.iter().enumerate() {
            let content = format!("Subject: {number}\r\n\r\n{}", "a line of mail\r\n".repeat(bytes / 16));
            // From nobody, so that no notice joins what is in the queue.
            lab::send(([127, 0, 0, 1], node.port).into(), "", &format!("user@{}.test", self.name), &content).unwrap();
        }
    }
}

/// One node for all cases, each with a connector of its own, when each message has met its destination.
fn node(cases: &[&Case]) -> Node {
    // Nothing listens on the port of the connector that each node of the tests has.
    let node = Node::to_port(9).more(&cases.iter().map(|case| case.tables()).collect::<String>()).start();
    for case in cases {
        case.send(&node);
    }
    let messages: usize = cases.iter().map(|case| case.messages.len()).sum();
    wait_for("an attempt of each message", || {
        let rows = node.trace();
        let is_tried = |row: &&Value| {
            row["events"].as_array().is_some_and(|events| events.iter().any(|event| !event["attempt"].is_null()))
        };
        (rows.iter().filter(is_tried).count() == messages).then_some(())
    });
    node
}

fn findings(command: &mut Command) -> Vec<Value> {
    let output = command.args(["--format", "json"]).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    value["findings"].as_array().unwrap().clone()
}

/// The first finding for a connector. Nothing listens on the other address that localhost has, and a log of connections
/// tells of it too: it is left out.
fn first<'a>(findings: &'a [Value], connector: &str) -> &'a Value {
    let is_meant = |scope: &Value| {
        scope["connector"] == connector && !scope["destination"].as_str().is_some_and(|host| host.starts_with("[::1]"))
    };
    findings.iter().find(|finding| is_meant(&finding["scope"])).unwrap_or(&Value::Null)
}

/// Compares what each source names with what it must, and shows all of it where one is wrong.
fn check(node: &Node, cases: &[&Case]) {
    let why = |option: &str, files: &[&Path]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.arg("why");
        for file in files {
            command.arg(option).arg(file);
        }
        findings(&mut command)
    };
    let export = |name: &str, arguments: &[&str]| {
        let path = node.path(name);
        fs::write(&path, node.run(arguments).stdout).unwrap();
        path
    };
    let trace = export("trace.csv", &["trace", "--detail", "--limit", "100000", "--format", "csv"]);
    let tracking = export("tracking.log", &["trace", "--limit", "100000", "--format", "tracking-log"]);
    // What a session ends with is in the log some moments after the attempt.
    let folder = node.path("data/protocol-log/SmtpSend");
    let logs = wait_for("the protocol log", || {
        let logs: Vec<_> = fs::read_dir(&folder).ok()?.map(|entry| entry.unwrap().path()).collect();
        let text: String = logs.iter().map(|log| fs::read_to_string(log).unwrap()).collect();
        let all = |kind: &str| text.lines().filter(|line| line.split(',').nth(6) == Some(kind)).count();
        (all("+") > 0 && all("+") == all("-")).then_some(logs)
    });
    let logs: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
    let sources = [
        ("protocol log", why("--protocol-log", &logs)),
        ("message trace", why("--message-trace", &[&trace])),
        ("tracking log", why("--tracking-log", &[&tracking])),
    ];
    let (mut table, mut is_right) = (String::new(), true);
    for case in cases {
        let history = [("history", findings(node.command().args(["why", &case.name])))];
        for (source, findings) in history.iter().chain(&sources) {
            let named = case.named;
            let first = first(findings, &case.name);
            let confidence = first["confidence"].as_f64().unwrap_or(0.0);
            let is_as_wanted = named.fits(first);
            is_right &= is_as_wanted;
            let mark = if is_as_wanted { "" } else { "WRONG " };
            let (cause, evidence) = (&first["cause"], &first["evidence"][0]["what"]);
            writeln!(table, "{mark}{} by {source}: {cause} {confidence}; {named:?}; {evidence}", case.name).unwrap();
        }
    }
    assert!(is_right, "{table}");
}

/// What servers are configured with and any user may read: certificates with their keys, and the authorities behind them.
struct Files(tempfile::TempDir);

impl Files {
    fn make() -> Self {
        let folder = open_folder();
        for (name, device) in [
            ("good", Device::Healthy),
            ("expired", Device::CertificateExpired),
            ("self-signed", Device::CertificateSelfSigned),
            ("other-name", Device::CertificateWrongName),
        ] {
            let (identity, authority) = Identity::shown_by(device, "localhost").unwrap();
            fs::write(folder.path().join(format!("{name}.pem")), identity.certificate_pem()).unwrap();
            fs::write(folder.path().join(format!("{name}.key")), identity.key_pem()).unwrap();
            fs::write(folder.path().join(format!("{name}.authority.pem")), authority).unwrap();
        }
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Exim that shows a certificate.
    fn exim(&self, certificate: &str) -> Foreign {
        let (file, key) = (self.file(&format!("{certificate}.pem")), self.file(&format!("{certificate}.key")));
        Foreign::Exim(format!("tls_certificate = {file}\ntls_privatekey = {key}\n"))
    }

    /// Exim with an access control list for recipients.
    fn exim_with_rules(&self, name: &str, rules: &str, settings: &str) -> Foreign {
        let file = self.file(&format!("{name}.acl"));
        fs::write(&file, rules).unwrap();
        Foreign::Exim(format!("acl_smtp_rcpt = {file}\n{settings}"))
    }

    fn postfix(&self, certificate: &str) -> Foreign {
        let (file, key) = (self.file(&format!("{certificate}.pem")), self.file(&format!("{certificate}.key")));
        Foreign::Postfix(format!("smtpd_tls_cert_file = {file}\nsmtpd_tls_key_file = {key}\n"))
    }

    /// Keys of a connector that trusts the authority behind a certificate.
    fn verify(&self, name: &str) -> String {
        format!("tls = \"verify\"\ntls_authorities = {:?}\n", self.file(&format!("{name}.authority.pem")))
    }
}

/// A policy service for Postfix (SMTPD_POLICY_README) that defers whom it sees for the first time.
fn greylisting_service() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let known: Arc<Mutex<HashSet<String>>> = Arc::default();
    thread::spawn(move || {
        for client in listener.incoming() {
            let known = Arc::clone(&known);
            thread::spawn(move || judge(client.unwrap(), &known));
        }
    });
    port
}

/// Attributes of a recipient up to an empty line, then what is to be done, and so on.
fn judge(mut client: TcpStream, known: &Mutex<HashSet<String>>) {
    let mut recipient = String::new();
    for line in BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok) {
        if let Some(value) = line.strip_prefix("recipient=") {
            recipient = value.to_owned();
        }
        if line.is_empty() {
            let is_new = known.lock().unwrap().insert(recipient.clone());
            let action = if is_new { "450 4.7.1 Greylisted, please try again later" } else { "DUNNO" };
            write!(client, "action={action}\n\n").unwrap();
        }
    }
}

/// A foreign server, with lines of its configuration.
enum Foreign {
    Exim(String),
    /// TLS 1.0 with RC4 only.
    OldExim,
    Postfix(String),
}

impl Foreign {
    /// It takes mail for the domain of a case.
    fn start(&self, case: &str) -> MailServer {
        match self {
            Self::Exim(settings) => Exim::start_with(settings),
            Self::OldExim => Exim::start_with_rc4_only(),
            Self::Postfix(settings) => {
                Postfix::start_with(&format!("virtual_mailbox_domains = {case}.test\n{settings}"))
            }
        }
    }
}

#[test]
fn foreign_servers_are_named_for_what_is_wrong_with_them() {
    let files = Files::make();
    let exim = |settings: &str| Foreign::Exim(settings.to_owned());
    let postfix = |settings: &str| Foreign::Postfix(settings.to_owned());
    let authority = files.file("good.authority.pem");
    let old = "smtpd_tls_protocols = TLSv1\nsmtpd_tls_ciphers = low\ntls_low_cipherlist = ALL:@SECLEVEL=0\n";
    // Only a Postfix that takes no mail without TLS may demand certificates.
    let demands = format!(
        "smtpd_tls_security_level = encrypt\nsmtpd_tls_ask_ccert = yes\nsmtpd_tls_req_ccert = yes\n\
         smtpd_tls_CAfile = {authority}\n"
    );
    let verifies = format!("tls_verify_hosts = *\ntls_verify_certificates = {authority}\n");
    let service = greylisting_service();
    let greylists = format!("smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{service}, permit\n");
    // While one message is on its way, no other connection is taken.
    let slow = "accept delay = 1s\n";
    let limits = "smtpd_client_connection_count_limit = 1\nsmtpd_recipient_restrictions = sleep 1, permit\n";
    let per_host = "smtp_accept_max = 20\nsmtp_accept_max_per_host = 1\n";
    let (unrouteable, no_person) = ("deny message = Unrouteable address\n", "deny message = No such person here\n");
    let quota = "defer message = Mailbox quota exceeded\n";
    let unknown = "virtual_mailbox_maps = inline:{nobody@nowhere.test=x}\n";
    let full = "smtpd_recipient_restrictions = check_recipient_access static:{452 4.2.2 Mailbox is full}, permit\n";
    let size = "acl_smtp_data = \"deny condition = ${if >{$message_size}{10K}}\\n \
                message = Message size exceeds maximum permitted\"\n";

    // Case, server, certificate whose authority the connector trusts, messages, cause.
    type Row = (&'static str, Foreign, Option<&'static str>, &'static [usize], &'static str);
    let (one, several, large) = (&[SMALL][..], &[SMALL; 6][..], &[100_000][..]);
    let table: Vec<Row> = vec![
        ("exim-expired", files.exim("expired"), Some("expired"), one, "certificate-expired"),
        ("exim-self-signed", files.exim("self-signed"), Some("good"), one, "certificate-untrusted"),
        ("exim-other-name", files.exim("other-name"), Some("other-name"), one, "certificate-name-mismatch"),
        ("postfix-expired", files.postfix("expired"), Some("expired"), one, "certificate-expired"),
        ("postfix-self-signed", files.postfix("self-signed"), Some("good"), one, "certificate-untrusted"),
        ("postfix-other-name", files.postfix("other-name"), Some("other-name"), one, "certificate-name-mismatch"),
        ("postfix-tls10", postfix(old), None, one, "no-shared-tls-version"),
        // It sends alert 40, whatever it lacks.
        ("exim-rc4", Foreign::OldExim, None, one, "no-shared-cipher"),
        ("postfix-client", postfix(&demands), None, one, "client-certificate-required"),
        ("exim-client", exim(&verifies), None, one, "client-certificate-required"),
        (GREYLISTING, postfix(&greylists), None, one, "greylisted"),
        ("postfix-limit", postfix(limits), None, several, "rate-limited"),
        ("exim-limit", files.exim_with_rules("limit", slow, "smtp_accept_max = 1\n"), None, several, "rate-limited"),
        ("exim-per-host", files.exim_with_rules("per-host", slow, per_host), None, several, "rate-limited"),
        ("exim-unrouteable", files.exim_with_rules("unrouteable", unrouteable, ""), None, one, "recipient-unknown"),
        ("exim-no-person", files.exim_with_rules("no-person", no_person, ""), None, one, "recipient-unknown"),
        ("postfix-unknown", postfix(unknown), None, one, "recipient-unknown"),
        ("exim-quota", files.exim_with_rules("quota", quota, ""), None, one, "mailbox-full"),
        ("postfix-full", postfix(full), None, one, "mailbox-full"),
        // The first says so in its answer to EHLO, and no command tells of it.
        ("exim-size", exim("message_size_limit = 10K\n"), None, large, "message-too-large"),
        ("exim-size-unsaid", exim(size), None, large, "message-too-large"),
    ];
    thread::scope(|scope| {
        // All at once: most of a start is waiting. A server ends with the thread that started it.
        let start = |(name, foreign, trusted, messages, cause): Row| {
            let ((started, port), (running, ended)) = (mpsc::channel(), mpsc::channel::<()>());
            scope.spawn(move || {
                let server = foreign.start(name);
                started.send(server.port).unwrap();
                ended.recv()
            });
            let connector = trusted.map(|certificate| files.verify(certificate)).unwrap_or_default();
            let case = move |port| Case::new(name, port, &connector, Cause(cause)).messages(messages);
            (running, port, case)
        };
        let starting: Vec<_> = table.into_iter().map(start).collect();
        let cases: Vec<Case> = starting.iter().map(|(_, port, case)| case(port.recv().unwrap())).collect();
        let cases: Vec<&Case> = cases.iter().collect();
        let node = node(&cases);
        check(&node, &cases);

        // Greylisting lets mail pass at its next try: then nothing is stuck, and nothing is to be mended.
        assert!(node.run(&["queue", "retry", "--connector", GREYLISTING]).status.success());
        node.wait_for_status(&format!("user@{GREYLISTING}.test"), "Delivered");
        let history = findings(node.command().args(["why", GREYLISTING]));
        let sure = first(&history, GREYLISTING)["confidence"].as_f64();
        assert!(sure.is_none_or(|sure| sure <= 0.5), "{history:#?}");
    });
}

/// A device before the node, and its case.
struct Faulty {
    _server: Server,
    case: Case,
    /// By a capture alone. `None`: the fault is behind encryption, or nothing shows that the connection is for mail.
    captured: Option<Named>,
}

impl Faulty {
    /// `clear`: mail goes there without TLS.
    fn start(device: Device, clear: bool, folder: &Path) -> Self {
        let options = Options {
            host_name: "localhost".to_owned(),
            delay: Duration::from_secs(20),
            connections_max: 0,
            ..Options::default()
        };
        let server = Server::start(device, options).unwrap();
        let authority = folder.join(format!("{}.pem", device.name()));
        fs::write(&authority, server.authority_pem()).unwrap();
        let connector = match device {
            _ if clear => "tls = \"none\"\n".to_owned(),
            // A shared version, so that the cipher suite is what is missing.
            Device::AesThenSilence | Device::Rc4Only => "tls_policy = \"intermediate\"\n".to_owned(),
            Device::StartTlsMasked | Device::StartTlsNotOffered => "tls = \"require\"\n".to_owned(),
            Device::CertificateExpired
            | Device::CertificateSelfSigned
            | Device::CertificateWrongName
            | Device::CertificateSha1 => format!("tls = \"verify\"\ntls_authorities = {authority:?}\n"),
            _ => String::new(),
        };
        let named = device.cause().map_or(Guess("unknown"), Cause);
        let name = format!("{}{}", device.name(), if clear { "-in-the-clear" } else { "" });
        let case = Case::new(&name, server.port(), &connector, named);
        let case = if device == Device::LargeMessagesStall { case.messages(&[4_000_000; 3]) } else { case };
        let captured = if clear { Some(named) } else { captured(device, named) };
        Self { _server: server, case, captured }
    }
}

/// What a capture tells of a device where mail goes under TLS as far as the device lets it.
fn captured(device: Device, named: Named) -> Option<Named> {
    match device {
        // The client's alert says no more than that it did not like the certificate.
        Device::CertificateWrongName | Device::CertificateSha1 => Some(Guess("unknown")),
        // TLS 1.3 asks for it behind encryption.
        Device::ClientCertificateRequired => None,
        // Nothing is said, and the port is none of mail's.
        Device::SlowBanner | Device::DropBeforeBanner => None,
        device if FAULTY_IN_SMTP.contains(&device) => None,
        _ => Some(named),
    }
}

/// What they do comes after the handshake.
const FAULTY_IN_SMTP: [Device; 10] = [
    Device::Greylisting,
    Device::DropAfterData,
    Device::LargeMessagesStall,
    Device::AuthenticationDemanded,
    Device::Overloaded,
    Device::BlockList,
    Device::RecipientUnknown,
    Device::MailboxFull,
    Device::MessageTooLarge,
    Device::MailLoop,
];

#[test]
fn devices_are_named_from_each_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let start = |device: Device, clear| Faulty::start(device, clear, folder.path());
    let faulty = Device::ALL.into_iter().filter(|device| *device != Device::Healthy);
    // It demands what it is not given.
    let encrypted = faulty.map(|device| start(device, device == Device::StartTlsDemanded));
    let devices: Vec<Faulty> = encrypted.chain(FAULTY_IN_SMTP.map(|device| start(device, true))).collect();
    let ports: Vec<u16> = devices.iter().map(|device| device.case.port).collect();
    let capture = Dumpcap::start(peers(), folder.path(), &ports).unwrap();
    let cases: Vec<&Case> = devices.iter().map(|device| &device.case).collect();
    let node = node(&cases);
    check(&node, &cases);
    check_capture(&capture.stop().unwrap(), &devices);
}

/// A capture knows no connector: its findings are found by their port.
fn check_capture(file: &Path, devices: &[Faulty]) {
    let mut why = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let findings = findings(why.args(["why", "--capture"]).arg(file));
    let (mut table, mut is_right) = (String::new(), true);
    for Faulty { case, captured: named, .. } in devices {
        let port = format!(":{}", case.port);
        let is_meant =
            |finding: &&Value| finding["scope"]["destination"].as_str().is_some_and(|host| host.ends_with(&port));
        let first = findings.iter().find(is_meant);
        let is_as_wanted = match (first, named) {
            (Some(first), Some(named)) => named.fits(first),
            (first, named) => first.is_none() && named.is_none(),
        };
        is_right &= is_as_wanted;
        let mark = if is_as_wanted { "" } else { "WRONG " };
        writeln!(table, "{mark}{} by capture: {first:?}; {named:?}", case.name).unwrap();
    }
    assert!(is_right, "{table}");
}
