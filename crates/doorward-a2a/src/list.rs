//! Lists of tasks: which, in which order, how many at a time (spec 1.0 §3.1.4).

use std::cmp::Reverse;

use crate::fields::Other;
use crate::params::LARGEST_PAGE;
use crate::reply::TaskPage;
use crate::request::ListTasks;
use crate::state::TaskState;
use crate::task::Task;

/// Tasks of a page whose request does not say how many.
const DEFAULT_PAGE: u32 = 50;

impl ListTasks {
    /// How many tasks a page has at most: from 1 to 100, 50 unless the client says.
    pub fn page_size(&self) -> u32 {
        self.page_size.unwrap_or(DEFAULT_PAGE).clamp(1, LARGEST_PAGE)
    }

    /// Whether a task is in the list.
    pub fn matches(&self, task: &Task) -> bool {
        let status = self.status.filter(|status| *status != TaskState::Unspecified);
        let is_recent = match &self.status_timestamp_after {
            None => true,
            Some(after) => nanos(task).is_some_and(|nanos| nanos >= after.nanos()),
        };
        is_recent
            && status.is_none_or(|status| status == task.status.state)
            && (self.context_id.is_none() || self.context_id == task.context_id)
    }

    /// Leaves of a task what the client has asked for.
    pub fn shorten(&self, task: &mut Task) {
        task.limit_history(self.history_length);
        if self.include_artifacts {
            task.artifacts.get_or_insert_default();
        } else {
            task.artifacts = None;
        }
    }

    /// The page that begins at `offset` of the list of all `tasks` that the caller may see, the newest first. `token`
    /// makes the opaque token of the next page from its offset; its reader is the caller's, too.
    ///
    /// For a store that filters by itself, [`matches`](Self::matches) and [`shorten`](Self::shorten) are its parts.
    pub fn page(
        &self,
        tasks: impl IntoIterator<Item = Task>,
        offset: usize,
        token: impl FnOnce(usize) -> String,
    ) -> TaskPage {
        let mut tasks: Vec<Task> = tasks.into_iter().filter(|task| self.matches(task)).collect();
        // Equal times are put in one order, so that pages neither repeat a task nor lose one.
        tasks.sort_by_cached_key(|task| (Reverse(nanos(task)), task.id.clone()));
        let total = tasks.len();
        let end = offset.saturating_add(self.page_size() as usize).min(total);
        tasks.truncate(end);
        let mut tasks = tasks.split_off(offset.min(end));
        tasks.iter_mut().for_each(|task| self.shorten(task));
        TaskPage {
            tasks,
            next_page_token: if end < total { token(end) } else { String::new() },
            page_size: self.page_size(),
            total_size: u32::try_from(total).unwrap_or(u32::MAX),
            other: Other::default(),
        }
    }
}

fn nanos(task: &Task) -> Option<i128> {
    task.status.timestamp.as_ref().map(crate::timestamp::Timestamp::nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    fn task(id: u32, context: &str, state: TaskState, millis: Option<i64>) -> Task {
        let mut task = Task::new(format!("t{id:03}"), context, state);
        task.status.timestamp = millis.and_then(Timestamp::of_millis);
        task.artifacts = Some(Vec::new());
        task
    }

    fn ids(page: &TaskPage) -> Vec<&str> {
        page.tasks.iter().map(|task| &*task.id).collect()
    }

    #[test]
    fn pages_have_every_task_once_and_the_newest_first() {
        let all = || (0..120).map(|id| task(id, "c", TaskState::Working, Some(i64::from(id / 3))));
        let (mut seen, mut offset, mut sizes) = (Vec::new(), 0, Vec::new());
        loop {
            let page = ListTasks::default().page(all(), offset, |next| next.to_string());
            assert_eq!((page.total_size, page.page_size), (120, 50));
            sizes.push(page.tasks.len());
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            if page.next_page_token.is_empty() {
                break;
            }
            offset = page.next_page_token.parse().unwrap();
        }
        assert_eq!(sizes, [50, 50, 20]);
        assert_eq!((&*seen[0], &*seen[1], &*seen[119]), ("t117", "t118", "t002"));
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 120);
        let beyond = ListTasks::default().page(all(), usize::MAX, |next| next.to_string());
        assert_eq!((beyond.tasks.len(), &*beyond.next_page_token), (0, ""));
    }

    #[test]
    fn a_list_is_filtered() {
        let all = || {
            [
                task(1, "a", TaskState::Working, Some(1000)),
                task(2, "a", TaskState::Completed, Some(2000)),
                task(3, "b", TaskState::Working, Some(3000)),
                task(4, "b", TaskState::Working, None),
            ]
        };
        let page = |list: ListTasks| list.page(all(), 0, |_| unreachable!());
        let some = ListTasks { context_id: Some("a".into()), ..ListTasks::default() };
        assert_eq!(ids(&page(some)), ["t002", "t001"]);
        let some = ListTasks { status: Some(TaskState::Working), ..ListTasks::default() };
        assert_eq!(ids(&page(some)), ["t003", "t001", "t004"]);
        let after = Timestamp::parse("1970-01-01T00:00:02Z");
        let some = ListTasks { status_timestamp_after: after, ..ListTasks::default() };
        assert_eq!(ids(&page(some)), ["t003", "t002"]);
    }

    #[test]
    fn artifacts_are_there_only_if_asked_for() {
        let mut one = task(1, "a", TaskState::Working, None);
        ListTasks::default().shorten(&mut one);
        assert!(one.artifacts.is_none());
        ListTasks { include_artifacts: true, ..ListTasks::default() }.shorten(&mut one);
        assert!(one.artifacts.is_some_and(|artifacts| artifacts.is_empty()));
    }
}
