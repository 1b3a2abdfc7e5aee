//! Audit chains for tests, and changes by somebody who can write to the database.

use std::collections::BTreeMap;

use doorward_store::{
    Actor, AuditKey, AuditLog, Block, Commit, Committed, Entry, Heads, KeyPlace, Kind, MasterKey,
    NewKey, Place, Report, Scopes, Store, Verifier, WriterId, checkpoint,
};
use sqlx::{AnyConnection, Connection};

use crate::support::World;

/// The time of every record: 2026-11-21T00:00:00Z, in milliseconds since 1970.
pub const AT: i64 = 1_795_219_200_000;

pub fn master() -> MasterKey {
    MasterKey::new(&"k".repeat(32)).unwrap()
}

pub async fn signing(store: &Store) -> AuditKey {
    store.audit_key(&KeyPlace::Sealed(&master())).await.unwrap()
}

pub async fn verify(store: &Store) -> Report {
    let key = signing(store).await;
    let keys = [(key.id.clone(), key.public_bytes())].into();
    store.verify_audit(Verifier::new(keys, true)).await.unwrap()
}

/// Writes a chain for a test.
pub struct Writer {
    pub log: AuditLog,
    key: AuditKey,
    heads: Heads,
}

impl Writer {
    pub async fn open(store: &Store, run: u32) -> Self {
        let id = WriterId::new(run);
        let log = AuditLog::open(store, id, Place::here("test")).await.unwrap();
        Self { log, key: signing(store).await, heads: Heads::new() }
    }

    pub fn commit(&self, records: &[String]) -> (Commit, doorward_store::Chain) {
        let mut chain = self.log.chain().clone();
        let first = chain.head().seq + 1;
        let mut body = String::new();
        for (at, record) in records.iter().enumerate() {
            if at > 0 {
                body.push('\n');
            }
            chain.append(&[record], &mut body);
        }
        let head = chain.head().clone();
        let (writer, last) = (chain.writer().to_owned(), head.seq);
        let block = Block { writer, first, last, first_at: AT, last_at: AT, body };
        (Commit { block, head, charges: BTreeMap::new(), usage: None, ends: None }, chain)
    }

    pub async fn write(&mut self, records: &[String]) {
        let (commit, chain) = self.commit(records);
        assert_eq!(self.log.write(&commit).await.unwrap(), Committed::Written);
        self.log.advance(chain);
    }

    pub async fn checkpoint(&mut self) {
        let mut chain = self.log.chain().clone();
        let heads = self.log.heads(&self.heads, &self.key).await.unwrap();
        let mut body = String::new();
        let at = "2026-11-21T00:00:00.000000Z";
        let open = chain.head().seq;
        checkpoint(&mut chain, &self.key, at, open, &heads, &mut body);
        let head = chain.head().clone();
        let (writer, last) = (chain.writer().to_owned(), head.seq);
        let block = Block { writer, first: last, last, first_at: AT, last_at: AT, body };
        let commit = Commit { block, head, charges: BTreeMap::new(), usage: None, ends: None };
        assert_eq!(self.log.write(&commit).await.unwrap(), Committed::Written);
        self.log.advance(chain);
        self.heads.extend(heads);
    }
}

pub fn call(number: u32, class: &str, tenant: &str) -> String {
    format!(
        "\"kind\":\"call\",\"class\":\"{class}\",\"at\":\"2026-11-21T00:00:00.000000Z\",\"id\":\"{number}\",\
         \"tenant\":\"{tenant}\""
    )
}

pub fn calls(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| call(number, "reads", "acme")).collect()
}

pub fn scopes() -> Scopes {
    Scopes::default()
}

/// Two processes that write, and an administrator who acts.
pub async fn written(store: &Store) -> (Writer, Writer) {
    let owner = Entry::new(Kind::User, "alice");
    let new = NewKey { label: "laptop".into(), owner, scopes: scopes(), expires: None };
    let admin = store.acting(Actor { via: "command", name: "root".into(), address: None });
    let (mut one, mut two) = (Writer::open(store, 1).await, Writer::open(store, 2).await);
    for round in 0..4 {
        one.write(&calls(round * 10..round * 10 + 3)).await;
        if round == 0 {
            two.write(&calls(0..1)).await;
            two.checkpoint().await;
        } else {
            two.write(&calls(round * 10..round * 10 + 2)).await;
        }
        admin.create_key(&new).await.unwrap();
        one.checkpoint().await;
    }
    (one, two)
}

/// A connection that can change anything in the database.
pub async fn intruder(world: &World) -> AnyConnection {
    AnyConnection::connect(&world.url()).await.unwrap()
}

pub async fn run(connection: &mut AnyConnection, sql: &str) -> u64 {
    let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(connection).await;
    done.unwrap().rows_affected()
}

/// A chain with an end, as a gateway that shuts down leaves it.
pub async fn ended(store: &Store, run: u32) -> Writer {
    let mut writer = Writer::open(store, run).await;
    for round in 0..3 {
        writer.write(&calls(round * 10..round * 10 + 3)).await;
        writer.checkpoint().await;
    }
    let end = "\"kind\":\"end\",\"class\":\"events\",\"at\":\"2026-11-21T00:00:00.000000Z\"";
    writer.write(&[end.to_owned()]).await;
    writer.checkpoint().await;
    writer.log.end().await.unwrap();
    writer
}

pub async fn insert(intruder: &mut AnyConnection, writer: &str, first: i64, last: i64, body: &str) {
    let body = body.replace('\'', "''");
    let sql = format!(
        "INSERT INTO audit_blocks VALUES ('{writer}', {first}, {last}, {AT}, {AT}, '{body}')"
    );
    run(intruder, &sql).await;
}

/// The last record of a chain, according to its blocks.
pub async fn head(store: &Store, writer: &str) -> (i64, String) {
    let report = verify(store).await;
    let found = &report.chains[writer];
    (found.last, found.hash.clone())
}
