//! The fleet: reports of its nodes, its plans, whose turn it is to watch, and the ledger of deliveries with less
//! protection than they might have had.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    LONG, PostgresStore, change_log, inquiry,
    lane::Tx,
    lease::hear,
    member, restored,
    row::{Columns, json, readable, text},
    schema,
    session::Session,
    shares,
};
use crate::{
    Answered, Demand, Fleet, Inquiry, Joined, LedgerEntry, Member, MemberRecord, NewChange, NodeReport, NodeState,
    Restoration, RestorationDecision, Result, Share, StoreError, StoredPlan, WeakDelivery,
    change_log::plan as changed_plan,
    stored::{tls_from_text, tls_text},
};

impl Fleet for PostgresStore {
    async fn join(&self, name: &str) -> Result<Joined> {
        let asked = name.to_owned();
        let join = move |tx: Tx| async move {
            let joined = member::join(&tx, &asked).await?;
            let heard = match &joined {
                Ok(joined) => hear(&tx, &joined.member).await?,
                Err(_) => None,
            };
            Ok((joined, heard))
        };
        let (joined, heard) = self.0.clerk.write(join).await?;
        let joined = joined.map_err(|other| other.in_use(name))?;
        heard.into_iter().for_each(|heard| self.0.witness.note(heard));
        self.0.epoch.store(joined.member.epoch().0, Ordering::Relaxed);
        // The node is a member now. Rows of a day without a table go to the default table, and move later.
        if let Err(error) = self.make_days().await {
            tracing::warn!(%error, "failed to prepare the history's tables of the next days; trying again later");
        }
        Ok(joined)
    }

    async fn leave(&self, member: &Member) -> Result<()> {
        let member = member.clone();
        self.0.witness.left();
        self.0.clerk.write(move |tx| async move { member::leave(&tx, &member).await }).await
    }

    async fn report(&self, member: &Member, state: NodeState) -> Result<bool> {
        let reporting = member.clone();
        let report = move |tx: Tx| async move {
            let heard = match member::see(&tx, &reporting).await? {
                Ok(heard) => heard,
                Err(other) => return Ok(Err(other)),
            };
            put_report(&tx, reporting.name(), &state).await?;
            Ok(Ok((member::is_drained(&tx, reporting.name()).await?, heard)))
        };
        let (is_drained, heard) = self.0.leases.write(report).await?.map_err(|other| match other {
            Some(other) => other.in_use(member.name()),
            None => StoreError::NotAMember { name: member.name().to_owned() },
        })?;
        self.0.witness.note(heard);
        self.make_days_beside();
        Ok(is_drained)
    }

    async fn reports(&self) -> Result<Vec<NodeReport>> {
        self.0.readers.read(reports).await
    }

    async fn members(&self) -> Result<Vec<MemberRecord>> {
        self.0.readers.read(member::records).await
    }

    async fn drain(&self, node: &str, is_drained: bool, by: &str) -> Result<bool> {
        let (node, by) = (node.to_owned(), by.to_owned());
        self.0.clerk.write(move |tx| async move { member::drain(&tx, &node, is_drained, &by).await }).await
    }

    async fn share(&self, member: &Member, demands: Vec<Demand>) -> Result<Vec<Share>> {
        let member = member.clone();
        self.0.leases.write(move |tx| async move { shares::share(&tx, &member, &demands).await }).await
    }

    fn holds_restored(&self) -> bool {
        self.0.witness.is_held()
    }

    async fn restoration(&self) -> Result<Option<Restoration>> {
        self.0.readers.read(|tx| async move { restored::last(&tx).await }).await
    }

    async fn answer_restoration(&self, decision: RestorationDecision, by: &str) -> Result<Option<Answered>> {
        let by = by.to_owned();
        let answer = move |tx| async move { restored::answer(&tx, decision, &by).await };
        let Some(mut answered) = self.0.clerk.write(answer).await? else { return Ok(None) };
        let mut next = Some(i64::MIN);
        while let Some(after) = next {
            let restoration = answered.restoration.clone();
            let release = move |tx| async move { restored::release(&tx, &restoration, after).await };
            let (resumed, more) = self.0.clerk.write_within(LONG, release).await?;
            answered.resumed += resumed;
            next = more;
        }
        Ok(Some(answered))
    }

    async fn plan(&self) -> Result<Option<StoredPlan>> {
        Ok(self.0.readers.read(|tx| plans(tx, 1)).await?.pop())
    }

    async fn replace_plan(&self, before: Option<u64>, plan: String, by: &str) -> Result<Option<u64>> {
        let by = by.to_owned();
        self.0.clerk.write(move |tx| async move { replace_plan(&tx, before, &plan, &by).await }).await
    }

    async fn plans(&self) -> Result<Vec<StoredPlan>> {
        self.0.readers.read(|tx| plans(tx, i64::MAX)).await
    }

    async fn ledger(&self) -> Result<Vec<LedgerEntry>> {
        self.0.readers.read(ledger).await
    }

    async fn take_watch(&self, member: &Member, interval: Duration) -> Result<Option<u64>> {
        let node = member.name().to_owned();
        self.0.clerk.write(move |tx| async move { take_watch(&tx, &node, interval).await }).await
    }

    async fn ask(&self, inquiries: Vec<Inquiry>) -> Result<()> {
        self.0.clerk.write(move |tx| async move { inquiry::ask(&tx, &inquiries).await }).await
    }

    async fn take_inquiries(&self, member: &Member, within: Duration, limit: u32) -> Result<Vec<Inquiry>> {
        let node = member.name().to_owned();
        // Most of the time there is none, and nothing is written.
        match self.0.readers.read(|tx| inquiry::has_new(tx, &node, within)).await? {
            true => self.0.clerk.write(move |tx| async move { inquiry::take(&tx, &node, within, limit).await }).await,
            false => Ok(Vec::new()),
        }
    }

    async fn answer(&self, id: Uuid, answer: String) -> Result<()> {
        self.0.clerk.write(move |tx| async move { inquiry::answer(&tx, id, &answer).await }).await
    }

    async fn answers(&self, ids: Vec<Uuid>) -> Result<Vec<(Uuid, String)>> {
        self.0.readers.read(|tx| inquiry::answers(tx, &ids)).await
    }
}

async fn put_report(tx: &Tx, node: &str, state: &NodeState) -> Result<()> {
    let report =
        NodeReport { schema: Some(schema::VERSION as u32), ..NodeReport::new(node, tx.now().await?, state.clone()) };
    let sql = "INSERT INTO node_report (node, json) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET json = $2";
    tx.execute(sql, &[&node, &json(&report)?]).await.map(drop)
}

async fn reports(tx: Tx) -> Result<Vec<NodeReport>> {
    let rows = tx.query("SELECT json FROM node_report ORDER BY node", &[]).await?;
    let report = |row: &Row| Columns::of(row).json::<NodeReport>();
    Ok(readable(&rows, report).into_iter().flatten().collect())
}

async fn take_watch(tx: &Tx, node: &str, interval: Duration) -> Result<Option<u64>> {
    let sql = "INSERT INTO watch (id, turn, at, node) VALUES (1, 1, $1, $2)
               ON CONFLICT (id) DO UPDATE SET turn = watch.turn + 1, at = $1, node = $2
                   WHERE watch.at <= $1 - $3::bigint OR watch.at > $1 + $3::bigint
               RETURNING turn";
    let now = tx.now().await?.as_millisecond();
    let row = tx.query_opt(sql, &[&now, &node, &super::row::millis(interval)]).await?;
    row.map(|row| Ok(row.try_get::<_, i64>(0)? as u64)).transpose()
}

/// The newest first.
async fn plans(tx: Tx, limit: i64) -> Result<Vec<StoredPlan>> {
    let sql = "SELECT version, at, set_by, json FROM plan ORDER BY version DESC LIMIT $1";
    let plan = |row: &Row| {
        let mut columns = Columns::of(row);
        Ok(StoredPlan {
            version: columns.take::<i64>()? as u64,
            at: columns.time()?,
            by: columns.take()?,
            plan: columns.take()?,
        })
    };
    tx.query(sql, &[&limit]).await?.iter().map(plan).collect()
}

/// `None` if another plan than `before` is in force.
async fn replace_plan(tx: &Tx, before: Option<u64>, plan: &str, by: &str) -> Result<Option<u64>> {
    let sql = "INSERT INTO plan (version, at, set_by, json)
               SELECT coalesce($1::bigint, 0) + 1, $2, $3, $4
               WHERE (SELECT max(version) FROM plan) IS NOT DISTINCT FROM $1::bigint
               ON CONFLICT (version) DO NOTHING RETURNING version";
    let before = before.map(|version| version as i64);
    let row = tx.query_opt(sql, &[&before, &tx.now().await?.as_millisecond(), &text(by), &text(plan)]).await?;
    let Some(row) = row else { return Ok(None) };
    let version = row.try_get::<_, i64>(0)? as u64;
    change_log::put(tx, &NewChange::of_fleet(by, changed_plan(version, plan))).await?;
    Ok(Some(version))
}

/// Weak deliveries of one transaction, by what the ledger counts together. In order, so that nobody waits in a circle.
/// The values are the number, the first and the last time.
#[derive(Default)]
pub(super) struct WeakCounts<'a>(BTreeMap<LedgerKey<'a>, (i64, i64, i64)>);

/// Host, port, connector, TLS policy, TLS, and why it is weak.
type LedgerKey<'a> = (&'a str, u16, &'a str, &'a str, String, String);

pub(super) const COUNT: &str =
    "INSERT INTO ledger AS l (host, port, connector, tls_policy, tls, why, deliveries, first, last)
     SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
         $8::bigint[], $9::bigint[])
     ON CONFLICT (host, port, connector, tls_policy, tls, why) DO UPDATE
         SET deliveries = l.deliveries + excluded.deliveries, last = greatest(l.last, excluded.last)";

impl<'a> WeakCounts<'a> {
    pub(super) fn add(&mut self, weak: Option<&'a WeakDelivery>) -> Result<()> {
        let Some(WeakDelivery { destination, connector, tls_policy, tls, why, at }) = weak else { return Ok(()) };
        let key =
            (&*destination.host, destination.port, &**connector, &**tls_policy, tls_text(tls.as_ref()), json(why)?);
        let at = at.as_millisecond();
        let (count, _, last) = self.0.entry(key).or_insert((0, at, at));
        *count += 1;
        *last = at.max(*last);
        Ok(())
    }

    pub(super) async fn upsert(&self, session: &Session) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let (mut host, mut port, mut connector, mut policy, mut tls, mut why) =
            (vec![], vec![], vec![], vec![], vec![], vec![]);
        let (mut counts, mut first, mut last) = (vec![], vec![], vec![]);
        for (key, value) in &self.0 {
            host.push(text(key.0));
            port.push(i32::from(key.1));
            connector.push(text(key.2));
            policy.push(text(key.3));
            tls.push(text(&key.4));
            why.push(&*key.5);
            counts.push(value.0);
            first.push(value.1);
            last.push(value.2);
        }
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
            [&host, &port, &connector, &policy, &tls, &why, &counts, &first, &last];
        session.execute(COUNT, &parameters).await.map(drop)
    }
}

async fn ledger(tx: Tx) -> Result<Vec<LedgerEntry>> {
    let sql = "SELECT host, port, connector, tls_policy, tls, why, deliveries, first, last FROM ledger
               ORDER BY last DESC";
    let entry = |row: &Row| {
        let mut columns = Columns::of(row);
        let (host, port, connector) = (columns.take()?, columns.take::<i32>()? as u16, columns.take()?);
        let (tls_policy, tls, why) = (columns.take()?, tls_from_text(columns.take()?), columns.json()?);
        let why = why.ok_or_else(|| StoreError::Other("the ledger has no reason".to_owned()))?;
        let deliveries = columns.take::<i64>()? as u64;
        let (first, last) = (columns.time()?, columns.time()?);
        Ok(LedgerEntry { host, port, connector, tls_policy, tls, why, deliveries, first, last })
    };
    Ok(readable(&tx.query(sql, &[]).await?, entry))
}
