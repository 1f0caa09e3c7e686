//! Root causes where they are known for sure: foreign mail servers that are misconfigured for real, each behind a node; and
//! what the same attempts tell from each kind of file alone.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, mpsc},
    thread,
};

use lab::{Device, Identity};
use serde_json::Value;

use crate::support::{
    Exim, Node, Postfix,
    foreign::{MailServer, open_folder},
    wait_for,
};

/// What a source must name first of an attempt.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Named {
    /// This cause, surer than not.
    Cause(&'static str),
    /// This cause, no surer than a half: it may as well be another.
    Guess(&'static str),
    /// No finding at all.
    Nothing,
}

use Named::{Cause, Guess, Nothing};

impl Named {
    fn is_met_by(self, finding: &Value) -> bool {
        let sure = finding["confidence"].as_f64().unwrap_or(0.0);
        match self {
            Cause(cause) => finding["cause"] == cause && sure > 0.5,
            Guess(cause) => finding["cause"] == cause && sure <= 0.5,
            Nothing => finding.is_null(),
        }
    }
}

/// One way to be stuck.
pub(crate) struct Case {
    /// Of the connector too, and of its domain.
    pub name: String,
    /// Name or address, and port.
    pub host: String,
    /// Keys of the connector.
    pub connector: String,
    /// Bytes of each message.
    pub messages: Vec<usize>,
    /// By each source alone: history, protocol log, detailed message trace, tracking log.
    pub named: Named,
    /// By a capture alone, where there is one.
    pub captured: Named,
}

pub(crate) const SMALL: usize = 500;
const GREYLISTING: &str = "postfix-greylisting";

/// Short waits, so that silence is noticed soon.
const IMPATIENT: &str = "timeouts = { banner = \"1s\", ehlo = \"2s\", starttls = \"1s\", content = \"2s\", \
                         mail = \"2s\", rcpt = \"5s\", data = \"2s\", end_of_data = \"2s\" }\n";

impl Case {
    /// A connector with a domain of its own.
    fn tables(&self) -> String {
        let Self { name, host, connector, .. } = self;
        format!(
            "[[accepted_domain]]\nname = \"{name}.test\"\nconnector = \"{name}\"\n\
             [[connector]]\nname = \"{name}\"\nhosts = [\"{host}\"]\n{IMPATIENT}{connector}\n"
        )
    }

    /// A capture knows addresses only.
    fn address(&self) -> String {
        self.host.replace("localhost", "127.0.0.1")
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
pub(crate) fn node(cases: &[Case], policies: &str) -> Node {
    let tables: String = cases.iter().map(Case::tables).collect();
    // Nothing listens on the port of the connector that each node of the tests has. Messages are tried soon though others
    // before them failed.
    let node = Node::to_port(9)
        .retry("back_off_first = \"1s\"\nback_off_max = \"1s\"\n")
        .more(&format!("{policies}{tables}"))
        .start();
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

/// The first finding for a case. Nothing listens on the other address that localhost has, and a log of connections tells of
/// it too: it is left out.
fn first<'a>(findings: &'a [Value], case: &Case) -> &'a Value {
    let is_meant = |scope: &Value| {
        let destination = scope["destination"].as_str().unwrap_or_default();
        let is_named = scope["connector"] == case.name && !destination.starts_with("[::1]");
        is_named || (scope["connector"].is_null() && destination == case.address())
    };
    findings.iter().find(|finding| is_meant(&finding["scope"])).unwrap_or(&Value::Null)
}

/// What is found by files of one kind.
fn why(option: &str, files: &[PathBuf]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("why");
    for file in files {
        command.arg(option).arg(file);
    }
    findings(&mut command)
}

/// What a session ends with is in the log some moments after the attempt.
fn whole_protocol_log(node: &Node) -> Vec<PathBuf> {
    protocol_log_when(node, |text| {
        let all = |kind: &str| text.lines().filter(|line| line.split(',').nth(6) == Some(kind)).count();
        all("+") > 0 && all("+") == all("-")
    })
}

/// The files of the protocol log, when they say what they must.
pub(crate) fn protocol_log_when(node: &Node, is_ready: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let folder = node.path("data/protocol-log/SmtpSend");
    wait_for("the protocol log", || {
        let logs: Vec<_> = fs::read_dir(&folder).ok()?.map(|entry| entry.unwrap().path()).collect();
        let text: String = logs.iter().map(|log| fs::read_to_string(log).unwrap()).collect();
        is_ready(&text).then_some(logs)
    })
}

/// Compares what each source names with what it must, and shows all of it where one is wrong.
pub(crate) fn check(node: &Node, cases: &[Case], capture: Option<PathBuf>) {
    let export = |name: &str, arguments: &[&str]| {
        let path = node.path(name);
        fs::write(&path, node.run(arguments).stdout).unwrap();
        path
    };
    let trace = export("trace.csv", &["trace", "--detail", "--limit", "100000", "--format", "csv"]);
    let tracking = export("tracking.log", &["trace", "--limit", "100000", "--format", "tracking-log"]);
    let mut sources = vec![
        ("protocol log", why("--protocol-log", &whole_protocol_log(node))),
        ("message trace", why("--message-trace", &[trace])),
        ("tracking log", why("--tracking-log", &[tracking])),
    ];
    sources.extend(capture.map(|file| (CAPTURE, why("--capture", &[file]))));
    let (mut table, mut is_right) = (String::new(), true);
    for case in cases {
        let history = [("history", findings(node.command().args(["why", &case.name])))];
        for (source, findings) in history.iter().chain(&sources) {
            let named = if *source == CAPTURE { case.captured } else { case.named };
            let first = first(findings, case);
            is_right &= named.is_met_by(first);
            let mark = if named.is_met_by(first) { "" } else { "WRONG " };
            let (cause, sure, evidence) = (&first["cause"], &first["confidence"], &first["evidence"][0]["what"]);
            writeln!(table, "{mark}{} by {source}: {cause} {sure}; {named:?}; {evidence}", case.name).unwrap();
        }
    }
    if !is_right || std::env::var_os("GATEPOST_TEST_SHOW").is_some() {
        eprintln!("{table}");
    }
    assert!(is_right, "{table}");
}

const CAPTURE: &str = "capture";

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
fn root_foreign_servers_are_named_for_what_is_wrong_with_them() {
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

    // It answers when everybody has given up.
    let filter = "acl_smtp_data = \"accept delay = 60s\"\n";
    let no_file = "defer condition = ${lookup{x}lsearch{/nosuch}}\n";
    let no_table = "virtual_mailbox_maps = texthash:/nosuch\n";

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
        ("exim-slow-filter", exim(filter), None, one, "no-reply-to-message"),
        ("exim-no-file", files.exim_with_rules("no-file", no_file, ""), None, one, "destination-internal-failure"),
        ("postfix-no-table", postfix(no_table), None, one, "destination-internal-failure"),
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
            // By name, so that there is a name for a certificate to match.
            let case = move |port: u16| Case {
                name: name.to_owned(),
                host: format!("localhost:{port}"),
                connector: connector.clone(),
                messages: messages.to_vec(),
                named: Cause(cause),
                captured: Nothing,
            };
            (running, port, case)
        };
        let starting: Vec<_> = table.into_iter().map(start).collect();
        let cases: Vec<Case> = starting.iter().map(|(_, port, case)| case(port.recv().unwrap())).collect();
        let node = node(&cases, "");
        check(&node, &cases, None);

        // Greylisting lets mail pass at its next try: then nothing is stuck, and nothing is to be mended.
        assert!(node.run(&["queue", "retry", "--connector", GREYLISTING]).status.success());
        node.wait_for_status(&format!("user@{GREYLISTING}.test"), "Delivered");
        let history = findings(node.command().args(["why", GREYLISTING]));
        let case = cases.iter().find(|case| case.name == GREYLISTING).unwrap();
        let sure = first(&history, case)["confidence"].as_f64();
        assert!(sure.is_none_or(|sure| sure <= 0.5), "{history:#?}");
    });
}
