//! `/metrics` of a real node, as Prometheus and its tools read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use lab::{Device, Options, Server};
use serde_json::Value;

use crate::support::{Node, foreign::peers, free_port, http, swaks, wait_for};

const TOKEN: &str = "gatepost_test";
/// SHA-256 of [`TOKEN`].
const HASH: &str = "a060ab00c55b81a4d47543b47a2119b5b7d7b218c64591971f12be8f2a138650";

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/monitoring")
}

/// A node that has delivered a message, and has two deliveries for a dead destination, for which an incident opens.
struct Watched {
    node: Node,
    _server: Server,
    api: u16,
    metrics: u16,
}

fn watched(tokens: &str) -> Watched {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let (api, metrics) = (free_port(), free_port());
    let node = Node::to_port(server.port())
        .retry("back_off_first = \"1s\"\n")
        .more("[[accepted_domain]]\nname = \"other.test\"\nconnector = \"dead\"\n")
        .more("[[connector]]\nname = \"dead\"\nhosts = [\"127.0.0.1:9\"]\n")
        .more("[watch]\ninterval = \"100ms\"\noldest_named = \"1ms\"\n")
        .more(&format!(
            "[api]\nlisten = [\"127.0.0.1:{api}\"]\n[metrics]\nlisten = [\"127.0.0.1:{metrics}\"]\n{tokens}"
        ))
        .start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    swaks(node.port, &["--to", "user@other.test,second@other.test"]);
    node.wait_for_status("user@onprem.test", "Delivered");
    wait_for("an incident", || (node.json(&["incident", "list"])["incidents"][0]["id"].is_string()).then_some(()));
    Watched { node, _server: server, api, metrics }
}

impl Watched {
    fn page(&self) -> String {
        let (status, page) = http(self.metrics, "/metrics", &[]);
        assert_eq!(status, 200, "{page}");
        page
    }

    /// Samples by name and labels.
    fn samples(&self) -> BTreeMap<String, f64> {
        let page = self.page();
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        samples.map(sample).collect()
    }
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = peers().command("usr/bin/promtool");
    command.args(arguments).current_dir(documents());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn figures_are_those_of_what_happened() {
    let watched = watched("");
    let incident = "gatepost_fleet_incidents_open{connector=\"dead\",cause=\"connection-refused\"}";
    let samples = wait_for("the incident", || Some(watched.samples()).filter(|all| all.contains_key(incident)));
    let dead = "connector=\"dead\"";
    let refused = format!("{dead},outcome=\"deferred\",phase=\"connect\",cause=\"connection-refused\"");
    for (name, expected) in [
        ("gatepost_ready", 1.0),
        ("gatepost_received_messages_total{outcome=\"accepted\"}", 2.0),
        ("gatepost_received_messages_total{outcome=\"refused\"}", 0.0),
        ("gatepost_attempts_total{connector=\"onprem\",outcome=\"delivered\",phase=\"\",cause=\"\"}", 1.0),
        ("gatepost_attempts_total{connector=\"internet\",outcome=\"delivered\",phase=\"\",cause=\"\"}", 0.0),
        (&format!("gatepost_attempts_total{{{refused}}}"), 2.0),
        ("gatepost_attempt_duration_seconds_count{connector=\"dead\"}", 1.0),
        (&format!("gatepost_fleet_queue_deliveries{{{dead},state=\"queued\"}}"), 2.0),
        (&format!("gatepost_fleet_queue_waiting{{{dead},reason=\"timer\"}}"), 2.0),
        ("gatepost_fleet_queue_oldest_age_seconds{connector=\"onprem\"}", 0.0),
        ("gatepost_fleet_rollout_share", 0.0),
        ("gatepost_protocol_log_lost_rows_total", 0.0),
        (incident, 1.0),
    ] {
        assert_eq!(samples.get(name), Some(&expected), "{name}\n{samples:#?}");
    }
    let tls = samples.iter().find(|(name, _)| {
        name.starts_with("gatepost_attempts_tls_total{connector=\"onprem\"") && name.contains("TLSv1.3")
    });
    assert!(tls.is_some_and(|(_, count)| *count == 1.0), "{samples:#?}");
    let above = |name: &str, least: f64| assert!(samples[name] >= least, "{name} {}", samples[name]);
    above("gatepost_received_bytes_total", 200.0);
    above("gatepost_store_bytes", 4096.0);
    above("gatepost_store_commit_seconds_count", 3.0);
    above("gatepost_certificate_expiry_timestamp_seconds{of=\"inbound\"}", 1e9);
    above("gatepost_fleet_queue_oldest_age_seconds{connector=\"dead\"}", 0.001);
    assert!(!watched.page().contains('@') && !watched.page().contains("127.0.0.1"), "{}", watched.page());
}

#[test]
fn the_documents_name_each_metric_and_promtool_finds_no_fault() {
    let watched = watched("");
    let page = watched.page();
    let described = fs::read_to_string(documents().join("README.md")).unwrap();
    let rows = described.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: BTreeMap<&str, &str> =
        rows.filter(|(name, _)| name.starts_with("gatepost_") || name.starts_with("process_")).collect();
    let types: BTreeMap<&str, &str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    assert_eq!(rows.keys().collect::<Vec<_>>(), types.keys().collect::<Vec<_>>());
    for (name, row) in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[1], types[name], "type of {name}");
        let sample = page.lines().find(|line| line.split(['{', ' ']).next() == Some(name));
        let labels: BTreeSet<&str> = sample.and_then(|line| line.split_once('{')).map_or_else(BTreeSet::new, |line| {
            line.1.split("\",").filter_map(|label| label.split('=').next()).collect()
        });
        let known: BTreeSet<&str> = cells[3].split(", ").map(|label| label.trim_matches('`')).collect();
        assert!(labels.iter().all(|label| known.contains(label)), "labels of {name}: {labels:?}, not {known:?}");
    }
    assert_eq!(promtool(&["check", "metrics"], &page), (true, String::new()));
}

#[test]
fn an_answer_is_quick_and_in_the_format_that_was_asked_for() {
    let watched = watched("");
    let accepts = [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")];
    let (status, open) = http(watched.metrics, "/metrics", &accepts);
    assert!(status == 200 && open.ends_with("# EOF\n") && open.contains("# TYPE gatepost_build info"), "{open}");
    assert!(!watched.page().contains("# EOF"));
    let took = (0..10).map(|_| {
        let began = Instant::now();
        watched.page();
        began.elapsed()
    });
    let took = took.min().unwrap();
    println!("the fastest of ten answers took {took:?}");
    assert!(took < Duration::from_millis(20), "{took:?}");
}

#[test]
fn tokens_open_what_their_scopes_say() {
    let token = |scope: &str| format!("[[api_token]]\nname = \"a\"\nsha256 = \"{HASH}\"\nscopes = [{scope:?}]\n");
    let bearer = format!("Bearer {TOKEN}");
    let holder = [("Authorization", bearer.as_str())];
    let list = "/api/v1/message-traces";
    let watched = watched(&token("metrics"));
    let status = |port, path, headers: &[(&str, &str)]| http(port, path, headers).0;
    assert_eq!(status(watched.api, "/metrics", &[]), 401);
    assert_eq!(status(watched.api, "/metrics", &holder), 200);
    assert_eq!(status(watched.api, list, &holder), 403);
    // On addresses of their own, metrics on loopback need no token. Pages in a browser do not get there.
    assert_eq!(status(watched.metrics, "/metrics", &[]), 200);
    assert_eq!(status(watched.metrics, "/metrics", &[("Host", "evil.example")]), 403);
    assert_eq!(status(watched.metrics, "/healthz", &[]), 200);
    assert_eq!(status(watched.metrics, "/readyz", &[]), 200);
    assert_eq!(status(watched.metrics, list, &holder), 404);
    let file = watched.node.path("gatepost.toml");
    let with_metrics = fs::read_to_string(&file).unwrap();
    fs::write(&file, with_metrics.replace("[\"metrics\"]", "[\"trace\"]")).unwrap();
    watched.node.signal("-HUP");
    wait_for("the new scopes", || (status(watched.api, "/metrics", &holder) == 403).then_some(()));
    assert_eq!(status(watched.api, list, &holder), 200);
    let made = String::from_utf8(watched.node.run(&["api", "token", "p", "--scope", "metrics"]).stdout).unwrap();
    assert!(made.ends_with("\nscopes = [\"metrics\"]\n"), "{made}");
}

#[test]
fn the_alert_rules_pass_their_tests() {
    let (passed, said) = promtool(&["check", "rules", "rules.yml"], "");
    assert!(passed && said.contains("SUCCESS"), "{said}");
    let (passed, said) = promtool(&["test", "rules", "rules_test.yml"], "");
    assert!(passed, "{said}");
    // Each alert has its test.
    let (rules, tests) = (documents().join("rules.yml"), documents().join("rules_test.yml"));
    let (rules, tests) = (fs::read_to_string(rules).unwrap(), fs::read_to_string(tests).unwrap());
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(tests.contains(&format!("alertname: {alert}\n        exp_alerts:\n")), "{alert} has no test");
    }
}

/// Prometheus with the rules of the documents, reading one node each second.
struct Prometheus {
    process: Child,
    port: u16,
}

impl Prometheus {
    fn start(folder: &Path, target: u16) -> Self {
        let port = free_port();
        let rules = documents().canonicalize().unwrap().join("rules.yml");
        let configuration = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules:?}]\nscrape_configs:\n\
             - {{job_name: gatepost, static_configs: [{{targets: [\"127.0.0.1:{target}\"]}}]}}\n"
        );
        fs::write(folder.join("prometheus.yml"), configuration).unwrap();
        let mut command = peers().command("usr/bin/prometheus");
        command
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let log = fs::File::create(folder.join("log")).unwrap();
        let process = command.stderr(log).stdout(Stdio::null()).spawn().unwrap();
        let prometheus = Self { process, port };
        wait_for("Prometheus", || prometheus.query("up == 1").filter(|found| !found.is_empty()));
        prometheus
    }

    fn get(&self, path: &str) -> Option<Value> {
        std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        serde_json::from_str(&http(self.port, path, &[]).1).ok()
    }

    /// `None`: it does not answer. A query that it refuses fails the test.
    fn query(&self, query: &str) -> Option<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}"))?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The queries of the dashboard, with its variables filled in.
fn dashboard_queries() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(documents().join("dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let annotations = dashboard["annotations"]["list"].as_array().unwrap().iter();
    let queries = targets.chain(annotations).map(|target| target["expr"].as_str().unwrap());
    let filled =
        |query: &str| query.replace("$__rate_interval", "1m").replace("$job", "gatepost").replace("$connector", ".*");
    queries.map(filled).collect()
}

#[test]
fn prometheus_reads_a_node_and_each_query_of_dashboard_and_rules_has_a_value() {
    let watched = watched("");
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), watched.metrics);
    // What changes is seen only once it was read before: a search, and mail.
    assert_eq!(http(watched.api, "/api/v1/tallies", &[]).0, 200);
    swaks(watched.node.port, &["--to", "user@onprem.test"]);
    swaks(watched.node.port, &["--to", "third@other.test"]);
    for query in dashboard_queries() {
        // The rollout is not halted.
        if query.contains("rollout_halted") {
            assert_eq!(prometheus.query(&query), Some(vec![]), "{query}");
            continue;
        }
        wait_for(&query, || prometheus.query(&query).filter(|found| !found.is_empty()));
    }
    let rules = wait_for("the incident's alert", || {
        let rules = prometheus.get("/api/v1/rules")?["data"]["groups"][0]["rules"].as_array()?.clone();
        let fires = |rule: &Value| rule["name"] == "GatepostMailStuck" && rule["state"] == "firing";
        rules.iter().any(fires).then_some(rules)
    });
    expect_sound(&prometheus, &rules);
    assert!(watched.node.run(&["queue", "remove", "--connector", "dead", "--yes"]).status.success());
    wait_for("the end of the alert", || {
        let firing = prometheus.query("ALERTS{alertname=\"GatepostMailStuck\", alertstate=\"firing\"}");
        firing.filter(Vec::is_empty)
    });
}

/// Prometheus can evaluate each rule, and the node has all the metrics in it.
fn expect_sound(prometheus: &Prometheus, rules: &[Value]) {
    for rule in rules {
        assert_eq!((&rule["health"], &rule["lastError"]), (&"ok".into(), &Value::Null), "{rule}");
        let query = rule["query"].as_str().unwrap();
        let names = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in names.filter(|name| name.starts_with("gatepost_") || name.starts_with("process_")) {
            assert!(!prometheus.query(name).unwrap().is_empty(), "{name} of {query}");
        }
    }
}
