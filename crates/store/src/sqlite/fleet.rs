//! The fleet: reports of its nodes, its plans, whose turn it is to watch, and the ledger of deliveries with less protection
//! than they might have had.

use std::{sync::PoisonError, time::Duration};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    SqliteStore, change_log, inquiry, member,
    row::{Json, Millis, readable},
};
use crate::{
    Answered, Demand, Fleet, Inquiry, Joined, LedgerEntry, Member, MemberRecord, NewChange, NodeReport, NodeState,
    Restoration, RestorationDecision, Result, Share, StoreError, StoredPlan, WeakDelivery,
    change_log::plan as changed_plan,
    stored::{tls_from_text, tls_text},
};

impl Fleet for SqliteStore {
    async fn join(&self, name: &str) -> Result<Joined> {
        let (asked, floor) = (name.to_owned(), self.0.dead_epochs);
        let join = move |connection: &Connection, now| member::join(connection, &asked, floor, now);
        let (member, taken_back) = self.write(join).await?.map_err(|other| other.in_use(name))?;
        let asked = name.to_owned();
        let is_drained = self.read(move |connection, _| member::is_drained(connection, &asked)).await?;
        Ok(Joined { member, taken_back, is_drained })
    }

    async fn leave(&self, member: &Member) -> Result<()> {
        let epoch = member.epoch();
        self.write(move |connection, _| member::leave(connection, epoch)).await?;
        let mut all = self.0.shares.lock().unwrap_or_else(PoisonError::into_inner);
        all.values_mut().for_each(|shares| shares.members.retain(|_, held| held.epoch != epoch));
        Ok(())
    }

    async fn report(&self, member: &Member, state: NodeState) -> Result<bool> {
        let (name, epoch) = (member.name().to_owned(), member.epoch());
        let report = move |connection: &Connection, now| -> rusqlite::Result<_> {
            if let Err(other) = member::see(connection, &name, epoch, now)? {
                return Ok(Err(other));
            }
            put_report(connection, &name, &state, now)?;
            member::is_drained(connection, &name).map(Ok)
        };
        self.write(report).await?.map_err(|other| match other {
            Some(other) => other.in_use(member.name()),
            None => StoreError::NotAMember { name: member.name().to_owned() },
        })
    }

    async fn reports(&self) -> Result<Vec<NodeReport>> {
        self.read(|connection, _| reports(connection)).await
    }

    async fn members(&self) -> Result<Vec<MemberRecord>> {
        let floor = self.0.dead_epochs;
        self.read(move |connection, now| member::records(connection, floor, now)).await
    }

    async fn drain(&self, node: &str, is_drained: bool, by: &str) -> Result<bool> {
        let (node, by) = (node.to_owned(), by.to_owned());
        self.write(move |connection, now| member::drain(connection, &node, is_drained, &by, now)).await
    }

    async fn share(&self, member: &Member, demands: Vec<Demand>) -> Result<Vec<Share>> {
        let now = self.0.clock.now().as_microsecond();
        let mut all = self.0.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let give = |demand: &Demand| all.entry(demand.connector.clone()).or_default().give(member, demand, now);
        Ok(demands.iter().map(give).collect())
    }

    fn holds_restored(&self) -> bool {
        false
    }

    async fn restoration(&self) -> Result<Option<Restoration>> {
        Ok(None)
    }

    async fn answer_restoration(&self, _: RestorationDecision, _: &str) -> Result<Option<Answered>> {
        Ok(None)
    }

    async fn plan(&self) -> Result<Option<StoredPlan>> {
        self.read(|connection, _| plan(connection)).await
    }

    async fn replace_plan(&self, before: Option<u64>, plan: String, by: &str) -> Result<Option<u64>> {
        let by = by.to_owned();
        self.write(move |connection, now| replace_plan(connection, before, &plan, &by, now)).await
    }

    async fn plans(&self) -> Result<Vec<StoredPlan>> {
        self.read(|connection, _| plans(connection)).await
    }

    async fn ledger(&self) -> Result<Vec<LedgerEntry>> {
        self.read(|connection, _| ledger(connection)).await
    }

    async fn take_watch(&self, member: &Member, interval: Duration) -> Result<Option<u64>> {
        let node = member.name().to_owned();
        self.write(move |connection, now| take_watch(connection, &node, now, interval)).await
    }

    async fn ask(&self, inquiries: Vec<Inquiry>) -> Result<()> {
        self.write(move |connection, now| inquiry::ask(connection, &inquiries, now)).await
    }

    async fn take_inquiries(&self, member: &Member, within: Duration, limit: u32) -> Result<Vec<Inquiry>> {
        let (node, asked) = (member.name().to_owned(), member.name().to_owned());
        // Most of the time there is none, and the writer is not asked for nothing.
        match self.read(move |connection, now| inquiry::has_new(connection, &asked, within, now)).await? {
            true => self.write(move |connection, now| inquiry::take(connection, &node, within, now, limit)).await,
            false => Ok(Vec::new()),
        }
    }

    async fn answer(&self, id: Uuid, answer: String) -> Result<()> {
        self.write(move |connection, _| inquiry::answer(connection, id, &answer)).await
    }

    async fn answers(&self, ids: Vec<Uuid>) -> Result<Vec<(Uuid, String)>> {
        self.read(move |connection, _| inquiry::answers(connection, &ids)).await
    }
}

fn put_report(connection: &Connection, node: &str, state: &NodeState, now: Timestamp) -> rusqlite::Result<()> {
    let report = NodeReport::new(node, now, state.clone());
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO node_report (node, json) VALUES (?1, ?2)")?;
    insert.execute(params![node, Json(report)])?;
    Ok(())
}

fn reports(connection: &Connection) -> rusqlite::Result<Vec<NodeReport>> {
    let mut select = connection.prepare_cached("SELECT json FROM node_report ORDER BY node")?;
    readable(select.query_map([], |row| row.get::<_, Json<NodeReport>>(0).map(|json| json.0))?)
}

fn take_watch(
    connection: &Connection,
    node: &str,
    now: Timestamp,
    interval: Duration,
) -> rusqlite::Result<Option<u64>> {
    let mut take = connection.prepare_cached(
        "INSERT INTO watch (id, turn, at, node) VALUES (1, 1, ?1, ?2)
         ON CONFLICT DO UPDATE SET turn = turn + 1, at = ?1, node = ?2 WHERE at <= ?1 - ?3 OR at > ?1 + ?3
         RETURNING turn",
    )?;
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 4);
    let turn = take.query_row(params![Millis(now), node, interval], |row| row.get::<_, i64>(0)).optional()?;
    Ok(turn.map(|turn| turn as u64))
}

fn plan(connection: &Connection) -> rusqlite::Result<Option<StoredPlan>> {
    let mut select =
        connection.prepare_cached("SELECT version, at, set_by, json FROM plan ORDER BY version DESC LIMIT 1")?;
    select.query_row([], read_plan).optional()
}

fn plans(connection: &Connection) -> rusqlite::Result<Vec<StoredPlan>> {
    let mut select = connection.prepare_cached("SELECT version, at, set_by, json FROM plan ORDER BY version DESC")?;
    select.query_map([], read_plan)?.collect()
}

fn read_plan(row: &Row<'_>) -> rusqlite::Result<StoredPlan> {
    Ok(StoredPlan {
        version: row.get::<_, i64>(0)? as u64,
        at: row.get::<_, Millis>(1)?.0,
        by: row.get(2)?,
        plan: row.get(3)?,
    })
}

/// `None` if another plan than `before` is in force.
fn replace_plan(
    connection: &Connection,
    before: Option<u64>,
    plan_json: &str,
    by: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<u64>> {
    let in_force = plan(connection)?.map(|plan| plan.version);
    if in_force != before {
        return Ok(None);
    }
    let version = in_force.unwrap_or(0) + 1;
    let mut insert =
        connection.prepare_cached("INSERT INTO plan (version, at, set_by, json) VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute(params![version as i64, Millis(now), by, plan_json])?;
    change_log::put(connection, &NewChange::of_fleet(by, changed_plan(version, plan_json)), now)?;
    Ok(Some(version))
}

pub(super) fn note_weak(connection: &Connection, weak: &WeakDelivery) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO ledger (host, port, connector, tls_policy, tls, why, deliveries, first, last)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)
         ON CONFLICT DO UPDATE SET deliveries = deliveries + 1, last = max(last, ?7)",
    )?;
    let WeakDelivery { destination, connector, tls_policy, tls, why, at } = weak;
    let tls = tls_text(tls.as_ref());
    upsert.execute(params![destination.host, destination.port, connector, tls_policy, tls, Json(why), Millis(*at)])?;
    Ok(())
}

fn ledger(connection: &Connection) -> rusqlite::Result<Vec<LedgerEntry>> {
    let mut select = connection.prepare_cached(
        "SELECT host, port, connector, tls_policy, tls, why, deliveries, first, last FROM ledger ORDER BY last DESC",
    )?;
    let entries = select.query_map([], |row| {
        let tls: String = row.get(4)?;
        Ok(LedgerEntry {
            host: row.get(0)?,
            port: row.get(1)?,
            connector: row.get(2)?,
            tls_policy: row.get(3)?,
            tls: tls_from_text(&tls),
            why: row.get::<_, Json<_>>(5)?.0,
            deliveries: row.get::<_, i64>(6)? as u64,
            first: row.get::<_, Millis>(7)?.0,
            last: row.get::<_, Millis>(8)?.0,
        })
    })?;
    readable(entries)
}
