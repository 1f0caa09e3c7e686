//! Shows what a configuration of the fleet changes, and what each node says of it.

use std::io::{self, Write};

use insight::views::{
    ConfigAnswerView, ConfigApplyView, ConfigChangeView, ConfigErrorView, ConfigNodeView, ConfigResultView,
    WithoutConnectorView,
};
use node::{
    apply::{Checked, Outcome, Proposed, Verdict},
    config::{Change, Complaint, File, FleetConfig},
};
use trace::NextStep;

use super::screen::{Screen, clean, counted, paragraph};

/// What a result is shown with.
pub(super) struct Shown<'a> {
    /// The file that was to be applied, for the places of errors. `None`: an old version.
    pub file: Option<&'a File>,
    /// Its settings that are each node's own.
    pub not_applied: Vec<String>,
}

impl Shown<'_> {
    pub(super) fn view(&self, proposed: &Proposed, config: &FleetConfig) -> ConfigApplyView {
        let Proposed { before, changes, without_connector, nodes, outcome } = proposed;
        let (result, version) = match outcome {
            Outcome::Applied(version) => (ConfigResultView::Applied, Some(*version)),
            Outcome::Possible => (ConfigResultView::Possible, *before),
            Outcome::Unchanged => (ConfigResultView::Unchanged, *before),
            Outcome::Refused => (ConfigResultView::Refused, *before),
            Outcome::Overtaken => (ConfigResultView::Overtaken, None),
        };
        ConfigApplyView {
            result,
            version,
            before: *before,
            changes: change_views(changes),
            not_applied: self.not_applied.clone(),
            without_connector: without_connector
                .iter()
                .map(|(connector, deliveries)| WithoutConnectorView {
                    connector: connector.clone(),
                    deliveries: *deliveries,
                })
                .collect(),
            nodes: nodes.iter().map(|node| self.node(node, config)).collect(),
        }
    }

    fn node(&self, checked: &Checked, config: &FleetConfig) -> ConfigNodeView {
        let (answer, errors) = match &checked.verdict {
            Verdict::CanFollow => (ConfigAnswerView::CanFollow, Vec::new()),
            Verdict::CannotFollow(complaints) => {
                let errors = complaints.iter().map(|complaint| self.error(complaint, config)).collect();
                (ConfigAnswerView::CannotFollow, errors)
            }
            Verdict::CannotCheck(why) => {
                let error = ConfigErrorView { setting: None, line: None, column: None, message: why.clone() };
                (ConfigAnswerView::CannotCheck, vec![error])
            }
            Verdict::NoAnswer => (ConfigAnswerView::NoAnswer, Vec::new()),
        };
        ConfigNodeView {
            node: checked.node.clone(),
            version: Some(checked.program.clone()).filter(|program| !program.is_empty()),
            answer,
            left_out: checked.is_left_out,
            errors,
        }
    }

    fn error(&self, complaint: &Complaint, config: &FleetConfig) -> ConfigErrorView {
        let place =
            self.file.filter(|_| !complaint.setting.is_empty()).map(|file| file.at_its_place(complaint).views());
        let number = |key: &str| place.as_ref()?.first()?[key].as_u64();
        ConfigErrorView {
            setting: config.setting_name(complaint),
            line: number("line"),
            column: number("column"),
            message: complaint.message.clone(),
        }
    }

    pub(super) fn write(
        &self,
        proposed: &Proposed,
        config: &FleetConfig,
        screen: &Screen,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Proposed { before, changes, without_connector, nodes, outcome } = proposed;
        if !self.not_applied.is_empty() {
            let own = self.not_applied.join(", ");
            paragraph(&format!("Not applied, because each node has its own: {}.", clean(&own)), "", screen, out)?;
        }
        if *outcome != Outcome::Unchanged {
            write_changes(changes, false, screen, out)?;
        }
        for (connector, deliveries) in without_connector {
            let text = format!(
                "Warning: connector {} is removed, and {} for it. No node sends them until there is a connector of that \
                 name again.",
                clean(connector),
                counted(*deliveries, "delivery waits", "deliveries wait")
            );
            paragraph(&text, "", screen, out)?;
        }
        for node in nodes {
            self.write_node(node, config, screen, out)?;
        }
        let blockers: Vec<&str> = nodes.iter().filter(|node| node.is_in_the_way()).map(|node| &*node.node).collect();
        let text = match outcome {
            Outcome::Applied(version) => format!(
                "Version {version} is in force. Nodes follow within 5 seconds; to see which do: {}",
                NextStep::NodeList
            ),
            Outcome::Possible if nodes.is_empty() => {
                "It can be applied. No node is running, so this program alone has checked it.".to_owned()
            }
            Outcome::Possible => "It can be applied. Nothing was changed.".to_owned(),
            Outcome::Unchanged => {
                format!("Nothing to do: version {} is the same.", before.unwrap_or_default())
            }
            Outcome::Refused => format!(
                "Nothing was applied, because {} not ready: {}. Fix this, or leave a node out with --without; such a \
                 node keeps what it has until it can follow.",
                if blockers.len() == 1 { "a node is" } else { "nodes are" },
                clean(&blockers.join(", "))
            ),
            Outcome::Overtaken => format!(
                "Nothing was applied, because somebody else has applied another configuration meanwhile. Look at it and \
                 try again: {}",
                NextStep::ConfigDiff
            ),
        };
        paragraph(&text, "", screen, out)
    }

    fn write_node(
        &self,
        checked: &Checked,
        config: &FleetConfig,
        screen: &Screen,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let name = clean(&checked.node);
        let left_out = if checked.is_left_out { " (left out)" } else { "" };
        let said = match &checked.verdict {
            Verdict::CanFollow => return paragraph(&format!("{name}: can follow"), "", screen, out),
            Verdict::CannotFollow(complaints) => {
                let errors = counted(complaints.len() as u64, "error", "errors");
                writeln!(out, "{name}: cannot follow{left_out}, {errors}:")?;
                return complaints
                    .iter()
                    .try_for_each(|complaint| self.write_complaint(complaint, config, screen, out));
            }
            Verdict::CannotCheck(why) => format!("cannot check it{left_out}: {}", clean(why)),
            Verdict::NoAnswer => format!("did not answer within 10 seconds{left_out}"),
        };
        let version = if checked.program.is_empty() { "version unknown" } else { &checked.program };
        paragraph(&format!("{name} (Gatepost {}): {said}", clean(version)), "", screen, out)
    }

    /// At its place in the file that was to be applied, if there is one.
    fn write_complaint(
        &self,
        complaint: &Complaint,
        config: &FleetConfig,
        screen: &Screen,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match self.file.filter(|_| !complaint.setting.is_empty()) {
            Some(file) => writeln!(out, "{}", file.at_its_place(complaint)),
            None => paragraph(&clean(&config.describe(complaint)), "  ", screen, out),
        }
    }
}

pub(super) fn change_views(changes: &[Change]) -> Vec<ConfigChangeView> {
    let json = |value: &Option<toml::Value>| value.as_ref().and_then(|value| serde_json::to_value(value).ok());
    let view = |change: &Change| ConfigChangeView {
        setting: change.setting.clone(),
        old: json(&change.old),
        new: json(&change.new),
    };
    changes.iter().map(view).collect()
}

pub(super) fn write_changes(changes: &[Change], is_same: bool, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    if changes.is_empty() {
        return writeln!(
            out,
            "{}",
            if is_same { "No differences." } else { "Only the order or the spelling differs." }
        );
    }
    for Change { setting, old, new } in changes {
        let text = |value: &Option<toml::Value>| value.as_ref().map_or_else(|| "unset".to_owned(), ToString::to_string);
        let line = match (old, new) {
            (None, Some(entry @ toml::Value::Table(_))) => format!("{setting}: added, {entry}"),
            (Some(entry @ toml::Value::Table(_)), None) => format!("{setting}: removed, was {entry}"),
            (old, new) => format!("{setting}: {} → {}", text(old), text(new)),
        };
        paragraph(&clean(&line), "", screen, out)?;
    }
    Ok(())
}
