//! Closes the calls of gateways that stopped unexpectedly.

use std::collections::BTreeMap;
use std::time::Duration;

use doorward_store::{Amount, Committed, Ended as Buried, Error, LeftOpen, Usage, WriterId};

use super::members::Members;
use super::opened::Common;
use super::queue::{Ended, Record};
use super::recorder::{Recorder, happened, now};

/// Time without activity after which another process counts as dead.
const PATIENCE: Duration = Duration::from_secs(45);

impl Recorder {
    /// Closes the open calls of dead processes, with an unknown outcome.
    pub(super) async fn close_calls_of_the_dead(&mut self) -> Result<(), Error> {
        for dead in self.log.dead(&mut self.seen, PATIENCE).await? {
            let left = self.log.left_open(&dead.id).await?;
            let mut charges: BTreeMap<String, Amount> = BTreeMap::new();
            let mut records: Vec<Record> =
                left.iter().map(|opened| self.unknown(opened, &dead.id, &mut charges)).collect();
            let mut members = happened();
            members
                .text("event", "writer.died")
                .text("died", &dead.id)
                .text("host", &dead.place.host);
            // Later records were not written by that gateway.
            members.number("last", dead.head.seq).text("last_hash", &dead.head.hash);
            members.number("open", i64::try_from(left.len()).unwrap_or(i64::MAX));
            records.push(Record::new("event", members));
            let usage = self.log.uncounted(&dead.id).await?;
            let (writer, beats) = (WriterId(dead.id.clone()), dead.beats);
            let ends = Some(Buried { writer, beats, charges, usage });
            if self.write_now(records, ends).await? == Committed::Written {
                // Until it is signed, anyone could have claimed that the process died.
                self.since_checkpoint += 1;
                tracing::warn!(
                    writer = dead.id,
                    calls = left.len(),
                    "a gateway stopped unexpectedly; the outcome of these calls is unknown"
                );
            }
        }
        Ok(())
    }

    /// The record that closes a call with an unknown outcome.
    fn unknown(
        &self,
        opened: &LeftOpen,
        dead: &str,
        charges: &mut BTreeMap<String, Amount>,
    ) -> Record {
        // The members follow the order of other records.
        let mut common = Members::default();
        common.text("class", &opened.class);
        for (name, value) in [
            ("tenant", &opened.tenant),
            ("user", &opened.user),
            ("service_account", &opened.service_account),
            ("agent", &opened.agent),
            ("key", &opened.key),
            ("server", &opened.server),
            ("target", &opened.target),
        ] {
            common.maybe(name, value.as_deref());
        }
        let counted = opened.target.is_some() && matches!(&*opened.class, "reads" | "writes");
        let common = Common { text: common.into_text(), counted };
        let mut members = Members::default();
        members.text("id", &opened.id).text("at", &now()).and(&common.text);
        members.text("outcome", "unknown").text("writer_died", dead);
        let mut usage = Usage { calls: 1, failed: 1, ..Usage::default() };
        let price = opened.reserved.values().max().copied().unwrap_or(0);
        if self.audit.charges_unknown() && price > 0 {
            members.number("price", price);
            members.texts("charged", opened.reserved.keys().map(String::as_str));
            usage.price = Amount(price);
            for (account, amount) in &opened.reserved {
                let all = charges.entry(account.clone()).or_default();
                *all = all.plus(Amount(*amount));
            }
        }
        // Its cost is charged to what the dead process had reserved, not to this one.
        let ended = Ended { common, usage, charges: Vec::new() };
        Record { ended: Some(ended), ..Record::new("closed", members) }
    }
}
