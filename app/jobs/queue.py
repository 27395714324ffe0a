"""The job queue is the jobs table; nothing else changes a job's status.

                      claim                          succeed
    submit -> queued --------> running -----------------------------> succeeded
                ^  ^             |  |  fail (data, parameters, limits)
                |  |  take_back, |  +-------------------------------> failed
                |  +-- release --+  |  stop
                |   (too many       +-------> paused, cancelled
                |    faults: failed)             |
                +------------- resume -----------+ (paused only)

    cancel ends a queued or paused job at once and asks a running one to stop.

Claiming raises `lease_epoch`. Every later write of that attempt names the epoch it was claimed with, so a worker
that lost its lease, however long it slept, writes nothing: it gets LeaseLost and stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import audit
from app.column_types import now
from app.errors import Conflict
from app.jobs import curves, failures, journal
from app.jobs.lease import Beat, Lease, LeaseLost
from app.principal import Principal
from app.tables import CheckpointRow, DatasetRow, JobRow

# Short jobs that run beside the slots of a worker, are waited for, and are then forgotten.
BESIDE = "estimate"
QUEUED = JobRow.status == "queued"
WAITING = {True: (QUEUED, JobRow.kind == BESIDE), False: (QUEUED, JobRow.kind != BESIDE)}
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
CANCELLED = failures.complete({"code": "cancelled", "message": "The job was cancelled.", "pointer": None})


def has_queued(session: Session, *, beside: bool = False) -> bool:
    """Whether a claim is worth its write lock."""
    return session.scalars(select(JobRow.id).where(*WAITING[beside]).limit(1)).first() is not None


def claim(session: Session, worker: str, *, beside: bool = False) -> JobRow | None:
    """Take the first job of the queue: highest priority, then oldest. At most one worker gets a job.

    `beside` takes from the short queue of those that run beside the worker's slots.
    """
    waiting = select(JobRow.id).where(*WAITING[beside]).order_by(JobRow.priority.desc(), JobRow.id)
    first = waiting.limit(1).with_for_update(skip_locked=True).scalar_subquery()
    job = session.scalars(
        update(JobRow)
        .where(JobRow.id == first, JobRow.status == "queued")
        .values(
            status="running",
            phase="starting",
            worker=worker,
            attempt=JobRow.attempt + 1,
            lease_epoch=JobRow.lease_epoch + 1,
            heartbeat_seq=JobRow.heartbeat_seq + 1,
            revision=JobRow.revision + 1,
            started_at=func.coalesce(JobRow.started_at, now()),
        )
        .returning(JobRow)
        .execution_options(synchronize_session=False)
    ).first()
    if job is not None:
        journal.append(session, job.id, [journal.event("status", f"Attempt {job.attempt} started.", status="running")])
    return job


def beat(session: Session, lease: Lease, report: Beat) -> str | None:
    """Renew the lease and store what happened; answers what the user asks of the attempt, if anything.

    Raises: LeaseLost.
    """
    values: dict[str, Any] = {"heartbeat_seq": JobRow.heartbeat_seq + 1}
    if report.progress is not None:
        values["progress"] = report.progress
    if report.phase is not None:
        values["phase"] = report.phase
    if report.progress is not None or report.phase is not None:
        values["revision"] = JobRow.revision + 1
    job = _write(session, lease, **values)
    if report.rewind_to is not None:
        curves.drop(session, lease.job_id, after_step=report.rewind_to)
    curves.append(session, lease.job_id, report.points)
    if report.snapshot is not None:
        journal.store_snapshot(session, lease.job_id, report.snapshot)
    for text in report.logs:
        journal.append_log(session, job.id, job.attempt, text)
    journal.append(session, lease.job_id, report.events)
    return job.control


def save_checkpoint(session: Session, lease: Lease, row: CheckpointRow) -> None:
    """List a checkpoint, after its bytes were stored, and forget all but the newest. Raises: LeaseLost."""
    _write(session, lease, heartbeat_seq=JobRow.heartbeat_seq + 1)
    journal.store_checkpoint(session, row)
    journal.append(session, row.job_id, [journal.event("checkpoint", f"Checkpoint at step {row.step}.", step=row.step)])


def succeed(
    session: Session,
    lease: Lease,
    principal: Principal,
    *,
    version: int | None = None,
    metrics: dict[str, Any] | None = None,
    result: dict[str, Any] | None = None,
    summary: str | None = None,
) -> None:
    """End well, in the transaction that stores the result: a model version, a data set, or what `result` holds.

    That is what a trial made, which may become a version when its study ends, or what a repetition found out.
    Raises: LeaseLost.
    """
    job = _write(session, lease, **_ending("succeeded"), model_version=version, metrics=metrics, result=result)
    journal.forget_unfinished(session, job.id)
    made = f"{job.model}@{version}" if version else f"trial {job.trial}" if job.study_id else str(job.dataset_id)
    summary = summary or made
    journal.append(session, job.id, [journal.event("status", f"Succeeded: {summary}.", status="succeeded")])
    audit.record(session, principal, "job.succeed", job.id, result=summary)


def fail(session: Session, lease: Lease, error: dict[str, Any]) -> None:
    """End because of what the user sent: trying again would end the same way. Raises: LeaseLost."""
    error = failures.complete(error)
    job = _write(session, lease, **_ending("failed"), error=error)
    _abandon(session, job, error)
    event = journal.event("status", str(error["message"]), "error", status="failed", error=error)
    journal.append(session, job.id, [event])


def stop(session: Session, lease: Lease, status: str) -> None:
    """The attempt stopped because it was asked to: `paused` or `cancelled`. Raises: LeaseLost."""
    ending = _ending("cancelled") if status == "cancelled" else {"status": "paused", "phase": None, "control": None}
    job = _write(session, lease, **(ending | {"revision": JobRow.revision + 1}))
    if status == "cancelled":
        _abandon(session, job, CANCELLED)
    journal.append(session, job.id, [journal.event("status", f"{status.capitalize()}.", status=status)])


def release(session: Session, lease: Lease) -> None:
    """Give the job back because the worker is leaving; this is nobody's fault. Raises: LeaseLost."""
    _requeue(session, _write(session, lease, heartbeat_seq=JobRow.heartbeat_seq + 1), "Its worker shut down.")


def fault(session: Session, lease: Lease, reason: str, *, max_attempts: int) -> None:
    """The attempt died of something that is not the user's doing; try again, up to a limit. Raises: LeaseLost."""
    _after_fault(session, _write(session, lease, num_faults=JobRow.num_faults + 1), reason, max_attempts)


def take_back(session: Session, lease: Lease, heartbeat_seq: int, *, max_attempts: int) -> bool:
    """Take a job from a worker whose heartbeat stands still; False when it has moved after all."""
    job = session.scalars(
        update(JobRow)
        .where(JobRow.id == lease.job_id, JobRow.lease_epoch == lease.epoch, JobRow.status == "running")
        .where(JobRow.heartbeat_seq == heartbeat_seq)
        .values(num_faults=JobRow.num_faults + 1)
        .returning(JobRow)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).first()
    if job is None:
        return False
    _after_fault(session, job, "Its worker fell silent.", max_attempts)
    return True


def running(session: Session) -> Sequence[tuple[Lease, int]]:
    """All leases with their heartbeat counters, for the reaper."""
    rows = session.execute(
        select(JobRow.id, JobRow.lease_epoch, JobRow.heartbeat_seq).where(JobRow.status == "running")
    )
    return [(Lease(job_id, epoch), seq) for job_id, epoch, seq in rows]


def cancel(session: Session, job: JobRow) -> None:
    """Stop for good. Raises: Conflict when the job has ended."""
    _refuse_ended(job, "cancelled")
    if job.status == "running":
        _ask(session, job, "cancel")
        return
    _end_cancelled(session, job)


def pause(session: Session, job: JobRow) -> None:
    """Stop at the next step, to go on later. Raises: Conflict when the job has ended or is paused."""
    _refuse_ended(job, "paused")
    if job.status == "paused":
        raise Conflict("The job is paused already.")
    if job.status == "running":
        _ask(session, job, "pause")
        return
    _set(session, job, status="paused")
    journal.append(session, job.id, [journal.event("status", "Paused.", status="paused")])


def resume(session: Session, job: JobRow) -> None:
    """Queue a paused job again. Raises: Conflict when it is not paused."""
    if job.status != "paused":
        raise Conflict(f"Only a paused job can be resumed; this one is {job.status}.")
    _set(session, job, status="queued", queued_at=now())
    journal.append(session, job.id, [journal.event("status", "Resumed.", status="queued")])


def finish(session: Session, job: JobRow) -> None:
    """Stop training now and keep the best; one that waits with a checkpoint is queued to do just that.

    Raises: Conflict when the job has ended, is being cancelled, or has not learned anything yet.
    """
    _refuse_ended(job, "finished early")
    if job.control == "cancel":
        raise Conflict("The job is being cancelled.")
    if job.status != "running" and journal.newest_checkpoint(session, job.id) is None:
        raise Conflict(f"The job is {job.status} and has not learned anything yet that could be kept; cancel it.")
    if job.status == "paused":
        resume(session, job)
    _ask(session, job, "finish")


def _write(session: Session, lease: Lease, **values: Any) -> JobRow:
    job = session.scalars(
        update(JobRow)
        .where(JobRow.id == lease.job_id, JobRow.lease_epoch == lease.epoch, JobRow.status == "running")
        .values(**values)
        .returning(JobRow)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).first()
    if job is None:
        raise LeaseLost(lease.job_id)
    return job


def _ending(status: str) -> dict[str, Any]:
    gone = dict.fromkeys(("phase", "control", "worker"))
    return {"status": status, **gone, "finished_at": now(), "revision": JobRow.revision + 1}


def _after_fault(session: Session, job: JobRow, reason: str, max_attempts: int) -> None:
    if job.num_faults < max_attempts:
        _requeue(session, job, reason)
        return
    message = f"Gave up after {job.num_faults} attempts that died: {reason}"
    error = failures.complete({"code": "infrastructure-fault", "message": message, "pointer": None})
    _set(session, job, **_ending("failed"), error=error)
    _abandon(session, job, error)
    journal.append(session, job.id, [journal.event("status", message, "error", status="failed", error=error)])


def _requeue(session: Session, job: JobRow, reason: str) -> None:
    # What the user asked of the lost attempt still holds; `finish` stays on the row for the next attempt.
    if job.control == "cancel":
        return _end_cancelled(session, job)
    status = "paused" if job.control == "pause" else "queued"
    control = None if job.control == "pause" else job.control
    _set(session, job, status=status, phase=None, worker=None, control=control, queued_at=now())
    told = journal.event("status", f"{reason} The job is {status} again.", "warning", status=status)
    return journal.append(session, job.id, [told])


def _end_cancelled(session: Session, job: JobRow) -> None:
    _set(session, job, **_ending("cancelled"))
    _abandon(session, job, CANCELLED)
    journal.append(session, job.id, [journal.event("status", "Cancelled.", status="cancelled")])


def _abandon(session: Session, job: JobRow, error: dict[str, Any]) -> None:
    journal.forget_unfinished(session, job.id)
    # A data set that was still to be made will never be; whoever waits for it learns why.
    making = (DatasetRow.id == job.dataset_id, DatasetRow.status == "processing")
    if job.kind == "ingest":
        session.execute(update(DatasetRow).where(*making).values(status="failed", error=error))


def _ask(session: Session, job: JobRow, control: str) -> None:
    _set(session, job, control=control)
    journal.append(session, job.id, [journal.event("control", f"Asked to {control}.", control=control)])


def _set(session: Session, job: JobRow, **values: Any) -> None:
    values.setdefault("revision", JobRow.revision + 1)
    changed = session.scalars(
        update(JobRow)
        .where(JobRow.id == job.id, JobRow.status == job.status, JobRow.lease_epoch == job.lease_epoch)
        .values(**values)
        .returning(JobRow.id)
        .execution_options(synchronize_session=False)
    ).first()
    if changed is None:
        raise Conflict("The job changed at the same moment; read it and try again.")
    session.refresh(job)


def _refuse_ended(job: JobRow, what: str) -> None:
    if job.status in TERMINAL:
        raise Conflict(f"The job has {job.status} already and cannot be {what}.")
