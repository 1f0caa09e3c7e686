//! Work that takes longer than a request, for somebody who waits for it: probes and validations. A bounded number of jobs is
//! in memory of the node that does them. They end with the node.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use insight::views::{JobKindView, JobResultView, JobStateView, JobStepStateView, JobStepView, JobView};
use jiff::Timestamp;
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout},
};
use uuid::Uuid;

/// Maximum number of jobs of all people that run at once, and of one of them.
const RUNNING_MAX: usize = 16;
const OF_OWNER_MAX: usize = 4;
/// Maximum number of jobs that are kept, and how long each of them is after its end.
const KEPT_MAX: usize = 100;
const KEPT: Duration = Duration::from_secs(3600);
/// Maximum duration of a job.
const LASTS_MAX: Duration = Duration::from_secs(300);
/// Maximum number of steps that are kept of a job.
const STEPS_MAX: usize = 500;

/// What a job is about, and who wants it.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub kind: JobKindView,
    pub about: String,
    pub owner: String,
}

/// No more jobs can be started now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TooMany {
    #[error("{OF_OWNER_MAX} of your jobs are running; wait until one has ended, or cancel one")]
    OfOwner,
    #[error("{RUNNING_MAX} jobs are running on this node; try again in a minute")]
    OfAll,
}

/// The jobs of one node.
#[derive(Clone)]
pub struct Jobs(Arc<Mutex<Vec<Entry>>>, Arc<str>);

struct Entry {
    job: JobView,
    /// When the running steps began, by their places.
    begun: Vec<(usize, Instant)>,
    task: Option<AbortHandle>,
}

impl Entry {
    fn is_running(&self) -> bool {
        self.job.state == JobStateView::Running
    }

    /// What runs no longer has no running step.
    fn end(&mut self, state: JobStateView, why: Option<String>, result: Option<JobResultView>) {
        if !self.is_running() {
            return;
        }
        let now = Timestamp::now();
        let steps = self.job.steps.iter_mut().filter(|step| step.state == JobStepStateView::Running);
        steps.for_each(|step| step.state = JobStepStateView::Skipped);
        self.job.state = state;
        self.job.why = why;
        self.job.result = result;
        self.job.ended = Some(now);
        self.job.expires = now.checked_add(KEPT).ok();
        self.task = None;
    }
}

impl Jobs {
    pub(crate) fn on(node: &str) -> Self {
        Self(Arc::default(), node.into())
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        entries.retain(|entry| entry.job.expires.is_none_or(|at| at > now));
        entries
    }

    /// Starts a job. `work` reports its steps.
    pub fn start<F>(&self, new: NewJob, work: impl FnOnce(Steps) -> F) -> Result<Uuid, TooMany>
    where
        F: Future<Output = anyhow::Result<JobResultView>> + Send + 'static,
    {
        let NewJob { kind, about, owner } = new;
        let id = Uuid::now_v7();
        let work = work(Steps { jobs: self.clone(), id });
        let mut entries = self.entries();
        let running = || entries.iter().filter(|entry| entry.is_running());
        if running().filter(|entry| entry.job.owner == owner).count() >= OF_OWNER_MAX {
            return Err(TooMany::OfOwner);
        }
        if running().count() >= RUNNING_MAX {
            return Err(TooMany::OfAll);
        }
        if entries.len() >= KEPT_MAX
            && let Some(oldest) = entries.iter().position(|entry| !entry.is_running())
        {
            entries.remove(oldest);
        }
        let job = JobView {
            id,
            kind,
            about,
            owner,
            node: self.1.to_string(),
            state: JobStateView::Running,
            why: None,
            began: Timestamp::now(),
            ended: None,
            expires: None,
            steps: Vec::new(),
            result: None,
        };
        // It reports nothing before the job is listed, because the list is locked until then.
        let jobs = self.clone();
        let task = tokio::spawn(async move {
            let unfinished = Unfinished(&jobs, id);
            let ended = timeout(LASTS_MAX, work).await;
            jobs.finish(
                id,
                ended.unwrap_or_else(|_| Err(anyhow::anyhow!("no result within {} s", LASTS_MAX.as_secs()))),
            );
            drop(unfinished);
        });
        entries.push(Entry { job, begun: Vec::new(), task: Some(task.abort_handle()) });
        Ok(id)
    }

    pub fn get(&self, id: Uuid) -> Option<JobView> {
        self.entries().iter().find(|entry| entry.job.id == id).map(|entry| entry.job.clone())
    }

    /// Those of one person, the newest first.
    pub fn of(&self, owner: &str) -> Vec<JobView> {
        self.entries().iter().rev().filter(|entry| entry.job.owner == owner).map(|entry| entry.job.clone()).collect()
    }

    /// Ends a job if it still runs. False: there is no such job.
    pub fn cancel(&self, id: Uuid) -> bool {
        let cancelled = self.change(id, |entry| {
            let task = entry.task.take();
            entry.end(JobStateView::Cancelled, None, None);
            task
        });
        // A step that is dropped with the task asks for the list.
        cancelled.iter().flatten().for_each(AbortHandle::abort);
        cancelled.is_some()
    }

    fn change<T>(&self, id: Uuid, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.entries().iter_mut().find(|entry| entry.job.id == id).map(change)
    }

    fn finish(&self, id: Uuid, ended: anyhow::Result<JobResultView>) {
        self.change(id, |entry| match ended {
            Ok(result) => entry.end(JobStateView::Done, None, Some(result)),
            Err(error) => entry.end(JobStateView::Failed, Some(format!("{error:#}")), None),
        });
    }
}

/// A job whose task has ended without a result, because it panicked.
struct Unfinished<'a>(&'a Jobs, Uuid);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let Self(jobs, id) = self;
        let why = || Some("it stopped unexpectedly; the log of the node shows why".to_owned());
        jobs.change(*id, |entry| entry.end(JobStateView::Failed, why(), None));
    }
}

/// The steps of a running job.
#[derive(Clone)]
pub struct Steps {
    jobs: Jobs,
    id: Uuid,
}

impl Steps {
    /// Begins a step of the node that does the job.
    pub fn begin(&self, what: impl Into<String>) -> Step {
        self.begin_one(None, None, what.into())
    }

    /// The same of another node.
    pub fn begin_on(&self, node: &str, what: impl Into<String>) -> Step {
        self.begin_one(Some(node), None, what.into())
    }

    /// The same at one of several hosts or addresses.
    pub fn begin_at(&self, place: &str, what: impl Into<String>) -> Step {
        self.begin_one(None, Some(place), what.into())
    }

    fn begin_one(&self, node: Option<&str>, place: Option<&str>, what: String) -> Step {
        let step = JobStepView {
            node: node.map(str::to_owned),
            place: place.map(str::to_owned),
            what,
            state: JobStepStateView::Running,
            detail: None,
            took_ms: None,
        };
        let place = self.jobs.change(self.id, |entry| {
            let place = entry.job.steps.len();
            if place < STEPS_MAX {
                entry.job.steps.push(step);
                entry.begun.push((place, Instant::now()));
            }
            place
        });
        Step { steps: self.clone(), place: place.unwrap_or(STEPS_MAX) }
    }
}

/// In milliseconds, to a tenth.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// One step that runs. It is skipped if nobody says what came of it.
pub struct Step {
    steps: Steps,
    place: usize,
}

impl Step {
    /// What came of it.
    pub fn end(self, state: JobStepStateView, detail: impl Into<Option<String>>) {
        self.set(state, detail.into());
    }

    /// The same, where details may follow. The first time is when it ended.
    pub fn set(&self, state: JobStepStateView, detail: Option<String>) {
        self.steps.jobs.change(self.steps.id, |entry| {
            let begun = entry.begun.iter().find(|(place, _)| *place == self.place);
            let took = begun.map(|(_, at)| milliseconds(at.elapsed()));
            let is_running = entry.is_running();
            let Some(step) = entry.job.steps.get_mut(self.place).filter(|_| is_running) else { return };
            step.took_ms = step.took_ms.or(took);
            step.state = state;
            step.detail = detail;
            entry.begun.retain(|(place, _)| *place != self.place);
        });
    }

    /// How long it took, if somebody has measured it better.
    pub fn took(&self, ms: f64) {
        self.steps.jobs.change(self.steps.id, |entry| {
            if let Some(step) = entry.job.steps.get_mut(self.place) {
                step.took_ms = Some(ms);
            }
        });
    }

    fn is_running(&self) -> bool {
        let state = |entry: &mut Entry| entry.job.steps.get(self.place).map(|step| step.state);
        self.steps.jobs.change(self.steps.id, state).flatten() == Some(JobStepStateView::Running)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.is_running() {
            self.set(JobStepStateView::Skipped, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn of(owner: &str) -> NewJob {
        NewJob { kind: JobKindView::Validation, about: "onprem".to_owned(), owner: owner.to_owned() }
    }

    fn result() -> JobResultView {
        JobResultView::Validation(Box::default())
    }

    async fn ended(jobs: &Jobs, id: Uuid) -> JobView {
        loop {
            match jobs.get(id).expect("kept") {
                job if job.ended.is_some() => return job,
                _ => tokio::task::yield_now().await,
            }
        }
    }

    #[tokio::test]
    async fn a_job_shows_its_steps_and_its_result() {
        let jobs = Jobs::on("mx1");
        let id = jobs.start(of("ana"), |steps| async move {
            steps.begin("resolve").end(JobStepStateView::Worked, Some("192.0.2.1".to_owned()));
            drop(steps.begin_on("mx2", "connect"));
            Ok(result())
        });
        let job = ended(&jobs, id.unwrap()).await;
        let steps: Vec<_> = job.steps.iter().map(|step| (step.what.as_str(), step.state)).collect();
        assert_eq!(steps, [("resolve", JobStepStateView::Worked), ("connect", JobStepStateView::Skipped)]);
        assert_eq!((job.state, job.result), (JobStateView::Done, Some(result())));
        assert!(job.expires > job.ended);
        assert_eq!((jobs.of("ana").len(), jobs.of("ben").len()), (1, 0));
    }

    #[tokio::test]
    async fn a_job_fails_panics_or_is_cancelled() {
        let jobs = Jobs::on("mx1");
        let failed = jobs.start(of("ana"), |_| async { Err(anyhow::anyhow!("no such host")) }).unwrap();
        let panicked = jobs.start(of("ana"), |_| async { panic!("in a test") }).unwrap();
        let cancelled = jobs.start(of("ana"), |steps| async move {
            let _step = steps.begin("connect");
            pending().await
        });
        let cancelled = cancelled.unwrap();
        assert_eq!(ended(&jobs, failed).await.why.as_deref(), Some("no such host"));
        assert_eq!(ended(&jobs, panicked).await.state, JobStateView::Failed);
        assert!(jobs.cancel(cancelled) && jobs.cancel(failed) && !jobs.cancel(Uuid::nil()));
        let job = ended(&jobs, cancelled).await;
        assert_eq!(job.state, JobStateView::Cancelled);
        assert!(job.steps.iter().all(|step| step.state == JobStepStateView::Skipped));
    }

    #[tokio::test]
    async fn their_number_is_bounded() {
        let jobs = Jobs::on("mx1");
        let start = |owner: &str| jobs.start(of(owner), |_| pending());
        for _ in 0..OF_OWNER_MAX {
            start("ana").unwrap();
        }
        assert_eq!(start("ana"), Err(TooMany::OfOwner));
        for owner in OF_OWNER_MAX..RUNNING_MAX {
            start(&owner.to_string()).unwrap();
        }
        assert_eq!(start("ben"), Err(TooMany::OfAll));
        jobs.of("ana").iter().for_each(|job| assert!(jobs.cancel(job.id)));
        for _ in 0..2 * KEPT_MAX {
            let id = jobs.start(of("ana"), |_| async { Ok(result()) }).unwrap();
            ended(&jobs, id).await;
        }
        assert_eq!(jobs.entries().len(), KEPT_MAX);
        assert_eq!(start("ana").map(|_| ()), Ok(()), "those that run were kept");
    }
}
