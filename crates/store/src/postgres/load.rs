//! Rows of a migration: written with COPY, and read again to compare them with what was read at their source.

use std::pin::Pin;

use bytes::BytesMut;
use tokio_postgres::{
    Row,
    binary_copy::BinaryCopyInWriter,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use super::migration::Target;
use crate::{
    Result,
    migration::{
        facts::{Column, Content, Counting, Fact, Kind, Place, Value},
        progress::Progress,
        tables::{MAIL, MailTable, OTHER_PAGE, OTHERS, OtherTable},
    },
};

/// Rows on their way into one table.
pub(crate) struct Load(Pin<Box<BinaryCopyInWriter>>);

impl Load {
    pub(crate) async fn add(&mut self, facts: &[Fact]) -> Result<()> {
        for fact in facts {
            self.0.as_mut().write_raw(&fact.values).await?;
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<()> {
        self.0.as_mut().finish().await?;
        Ok(())
    }
}

impl Target {
    /// Within the transaction of a batch.
    pub(crate) async fn load<'a>(
        &self,
        table: &str,
        columns: impl Iterator<Item = &'a Column> + Clone,
    ) -> Result<Load> {
        let names = columns.clone().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let types: Vec<Type> = columns.map(|column| type_of(column.kind)).collect();
        let sink = self.session.copy_in(&format!("COPY {table} ({names}) FROM STDIN (FORMAT binary)")).await?;
        Ok(Load(Box::pin(BinaryCopyInWriter::new(sink, &types))))
    }

    /// What is not as it was read at the source, if anything.
    pub(super) async fn difference(&self, progress: &mut impl FnMut(Progress)) -> Result<Option<String>> {
        let (mut done, total) = (0, self.totals().await?.messages);
        let sql =
            "SELECT last, first, messages, rows, digest FROM migration_batch WHERE last > $1 ORDER BY last LIMIT 1";
        let mut after = -1_i64;
        while let Some(row) = self.session.query_opt(sql, &[&after]).await? {
            let (last, first, messages): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let copied = Content { rows: row.try_get(3)?, digest: row.try_get(4)? };
            let found = if last == 0 { self.others().await? } else { self.mail((first, i64::MIN), last).await? };
            if found != copied && last == 0 {
                return Ok(Some("plans, incidents or other notes".to_owned()));
            }
            if found != copied {
                return Ok(Some(format!("messages with keys from {first} to {last}")));
            }
            (after, done) = (last, done + messages as u64);
            progress(Progress::Verified { done, total });
        }
        self.surplus().await
    }

    /// Rows that no batch has.
    async fn surplus(&self) -> Result<Option<String>> {
        let totals = self.totals().await?;
        // All rows are read, and in their order on the disk that costs least.
        self.session.run("BEGIN; SET LOCAL enable_seqscan = on").await?;
        let mut counts = Vec::with_capacity(MAIL.len());
        for table in &MAIL {
            let count = self.session.query_one(&format!("SELECT count(*) FROM {}", table.name), &[]).await?;
            counts.push(count.try_get::<_, i64>(0)?);
        }
        self.session.run("COMMIT").await?;
        let differs = MAIL.iter().zip(counts.iter().zip(&totals.rows)).find(|(_, (count, copied))| count != copied);
        Ok(differs.map(|(table, _)| format!("rows of {}", table.name)))
    }

    async fn mail(&self, first: Place, last: i64) -> Result<Content> {
        let mut counting = Counting::new();
        for table in &MAIL {
            counting.begin_table();
            let mut after = first;
            loop {
                let facts = self.page(table, after, last).await?;
                counting.add(&facts);
                match facts.last() {
                    Some(fact) if facts.len() == table.page as usize => after = fact.place,
                    Some(_) | None => break,
                }
            }
        }
        Ok(counting.finish())
    }

    async fn page(&self, table: &MailTable, after: Place, last: i64) -> Result<Vec<Fact>> {
        let MailTable { name, order, page, .. } = table;
        let columns = expressions(table.columns());
        let sql = format!(
            "SELECT message, {order}::bigint, {columns} FROM {name}
             WHERE message >= $1 AND message <= $3 AND (message > $1 OR {order} > $2::bigint)
             ORDER BY {name}.message, {name}.{order} LIMIT {page}"
        );
        let rows = self.session.query(&sql, &[&after.0, &after.1, &last]).await?;
        let fact = |row: &Row| {
            let place = (row.try_get(0)?, row.try_get(1)?);
            Ok(Fact { place, values: values(row, 2, table.columns())? })
        };
        rows.iter().map(fact).collect()
    }

    async fn others(&self) -> Result<Content> {
        let mut counting = Counting::new();
        for table in &OTHERS {
            counting.begin_table();
            let OtherTable { name, order, .. } = table;
            let columns = expressions(table.columns.iter());
            let sql = format!("SELECT {columns} FROM {name} ORDER BY {order} LIMIT {OTHER_PAGE} OFFSET $1");
            let mut offset = 0_i64;
            loop {
                let rows = self.session.query(&sql, &[&offset]).await?;
                let fact = |row: &Row| Ok(Fact { place: (0, 0), values: values(row, 0, table.columns.iter())? });
                counting.add(&rows.iter().map(fact).collect::<Result<Vec<_>>>()?);
                if rows.len() < OTHER_PAGE as usize {
                    break;
                }
                offset += rows.len() as i64;
            }
        }
        Ok(counting.finish())
    }
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Small => Type::INT2,
        Kind::Medium => Type::INT4,
        Kind::Large => Type::INT8,
        Kind::Flag => Type::BOOL,
        Kind::Text | Kind::Domain => Type::TEXT,
        Kind::Id => Type::UUID,
        Kind::Bytes => Type::BYTEA,
    }
}

/// Content stays on the server.
fn expressions<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    let expression = |column: &Column| match column.kind {
        Kind::Bytes => format!("sha256({})", column.name),
        _ => column.name.to_owned(),
    };
    columns.map(expression).collect::<Vec<_>>().join(", ")
}

fn values<'a>(row: &Row, first: usize, columns: impl Iterator<Item = &'a Column>) -> Result<Vec<Value>> {
    columns.enumerate().map(|(index, column)| value(row, first + index, column.kind)).collect()
}

fn value(row: &Row, index: usize, kind: Kind) -> Result<Value> {
    let number = |number: Option<i64>| number.map(Value::Number);
    let value = match kind {
        Kind::Small => number(row.try_get::<_, Option<i16>>(index)?.map(i64::from)),
        Kind::Medium => number(row.try_get::<_, Option<i32>>(index)?.map(i64::from)),
        Kind::Large => number(row.try_get(index)?),
        Kind::Flag => row.try_get::<_, Option<bool>>(index)?.map(Value::Flag),
        Kind::Text | Kind::Domain => row.try_get::<_, Option<String>>(index)?.map(Value::Text),
        Kind::Id => row.try_get::<_, Option<_>>(index)?.map(Value::Id),
        Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(index)?.map(Value::Hash),
    };
    Ok(value.unwrap_or(Value::Null))
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Number(number) if *ty == Type::INT2 => i16::try_from(*number)?.to_sql(ty, out),
            Self::Number(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Self::Number(number) => number.to_sql(ty, out),
            Self::Flag(flag) => flag.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Id(id) => id.to_sql(ty, out),
            Self::Bytes(bytes) | Self::Hash(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
