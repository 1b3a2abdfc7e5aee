//! What the counts of a conversation mean: pure functions of the bounds.

use doorward_config::ConversationSettings;

/// Counts of a conversation, this call included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub calls: i64,
    /// Equal calls in a row.
    pub repeated: i64,
    /// How many agents act for each other on the way to here.
    pub depth: i64,
    /// What its calls have cost, in thousandths of a credit.
    pub cost: i64,
}

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Calls,
    Repeated,
    Depth,
    Cost,
}

impl Bound {
    /// The word in errors and settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Repeated => "repeated",
            Self::Depth => "depth",
            Self::Cost => "cost",
        }
    }
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    pub bound: Bound,
    /// For the model: what has happened, and what it can do.
    pub message: String,
}

/// The bounds that are set, each with the count.
fn bounds(settings: &ConversationSettings, counts: &Counts) -> [Option<(Bound, i64, i64)>; 4] {
    let cost = settings.cost.map(|cost| (Bound::Cost, counts.cost, cost.0 / 1_000));
    let of = |bound, count, most: Option<u32>| Some((bound, count, i64::from(most?)));
    [
        of(Bound::Repeated, counts.repeated, settings.repeated),
        of(Bound::Depth, counts.depth, settings.depth),
        of(Bound::Calls, counts.calls, settings.calls),
        cost,
    ]
}

pub(super) fn refuses(settings: &ConversationSettings, counts: &Counts) -> Option<Exceeded> {
    let exceeded = bounds(settings, counts).into_iter().flatten().find(|(bound, count, most)| {
        match bound {
            // What is spent is spent: nothing more may be begun.
            Bound::Cost => count >= most,
            _ => count > most,
        }
    });
    let (bound, count, most) = exceeded?;
    let message = match bound {
        Bound::Calls => format!(
            "This conversation has made {most} calls, the maximum. Make no more calls: report to the user what is done \
             and what is missing"
        ),
        Bound::Repeated => format!(
            "The same call was made {count} times in a row, and at most {most} are allowed. Its result will not change: \
             use the result that you have, change the arguments, or report to the user"
        ),
        Bound::Depth => format!(
            "{count} agents act for each other on this call, and at most {most} are allowed. Let an agent nearer to the \
             user make it"
        ),
        Bound::Cost => format!(
            "This conversation has used {} credits of {}, the maximum. Make no more calls: report to the user what is \
             done and what is missing",
            credits(count),
            credits(most)
        ),
    };
    Some(Exceeded { bound, message })
}

pub(super) fn warning(settings: &ConversationSettings, counts: &Counts) -> Option<String> {
    let nears = |most: i64| {
        let share = most.saturating_mul(i64::from(settings.warn));
        // Rounded up, so that a small bound does not warn at its first call.
        (settings.warn < 100).then_some((share + 99) / 100)
    };
    let near = bounds(settings, counts).into_iter().flatten().find(|(bound, count, most)| {
        let from = nears(*most);
        match bound {
            // An agent cannot do anything about who called it.
            Bound::Depth => false,
            // Something was repeated, and will be refused.
            Bound::Repeated => *count > 1 && from.is_some_and(|from| *count >= from),
            Bound::Calls | Bound::Cost => *count > 0 && from.is_some_and(|from| *count >= from),
        }
    });
    let (bound, count, most) = near?;
    Some(match bound {
        Bound::Repeated => format!(
            "Note from the gateway: this call was made {count} times in a row with the same arguments; after {most} it \
             is refused. Use the result that you have, or change the arguments."
        ),
        Bound::Cost => format!(
            "Note from the gateway: this conversation has used {} of {} credits. Finish what is most important.",
            credits(count),
            credits(most)
        ),
        Bound::Calls | Bound::Depth => format!(
            "Note from the gateway: this conversation has made {count} of {most} calls. Finish what is most important."
        ),
    })
}

/// Thousandths, as an amount is written.
fn credits(thousandths: i64) -> String {
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
