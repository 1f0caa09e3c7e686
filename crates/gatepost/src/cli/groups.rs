//! `queue list --by`: shows waiting deliveries in groups.

use std::io::{self, Write};

use insight::{By, GroupView, json};

use super::{
    arguments::{Filter, ListFilter},
    screen::{Screen, counted, grouped},
    table::{Cell, Column, Table},
};

pub(crate) fn write(groups: &[GroupView], by: By, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    let title = match by {
        By::Connector => "CONNECTOR",
        By::Destination => "DESTINATION",
        By::Age => "AGE",
        By::Cause => "CAUSE",
    };
    let columns = [
        Column::number("MESSAGES"),
        Column::number("DELIVERIES").spare(2),
        Column::number("OLDEST"),
        Column::whole("NEXT"),
        Column::whole("EXAMPLE").spare(1),
        Column::wrapped(title, 28),
    ];
    let row = |group: &GroupView| {
        vec![
            Cell::new(grouped(group.messages)),
            Cell::new(grouped(group.deliveries)),
            Cell::new(screen.age(group.oldest)),
            Cell::new(group.due.map(|due| screen.until(due)).unwrap_or_default()),
            Cell::id(group.example),
            Cell::new(&group.what),
        ]
    };
    let rows: Vec<_> = groups.iter().map(row).collect();
    let notes: Vec<String> = groups.iter().map(|group| group.command.clone()).collect();
    Table::new(&columns, screen).write_with_notes(&rows, &notes, out)?;
    let several = counted(groups.len() as u64, "group", "groups");
    writeln!(out, "\n{} in {several}.", counted(deliveries(groups), "delivery", "deliveries"))
}

pub(crate) fn write_json(groups: &[GroupView], by: By, out: &mut dyn Write) -> io::Result<()> {
    let mut list = json::List::open("groups", out)?;
    groups.iter().try_for_each(|group| list.push(group))?;
    list.close(&format!(",\n\"by\": \"{}\", \"deliveries\": {}", by.name(), deliveries(groups)))
}

fn deliveries(groups: &[GroupView]) -> u64 {
    groups.iter().map(|group| group.deliveries).sum()
}

/// The given options, for the command that lists one group.
pub(crate) fn conditions(filter: &Filter, more: &ListFilter) -> Vec<(&'static str, String)> {
    let state = filter.state.and_then(|state| clap::ValueEnum::to_possible_value(&state));
    [
        ("--message", filter.message.map(|id| id.to_string())),
        ("--connector", filter.connector.clone()),
        ("--recipient", filter.recipient.clone()),
        ("--sender", filter.sender.clone()),
        ("--state", state.map(|state| state.get_name().to_owned())),
        ("--cause", more.cause.clone()),
        ("--destination", more.destination.clone()),
        ("--older-than", more.older_than.map(|duration| duration.to_string())),
        ("--younger-than", more.younger_than.map(|duration| duration.to_string())),
    ]
    .into_iter()
    .filter_map(|(option, value)| Some((option, value?)))
    .collect()
}
