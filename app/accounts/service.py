"""API keys: made, listed, revoked, and found again when a request shows one."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import audit
from app.accounts.schemas import KeyCreate
from app.column_types import now
from app.errors import Forbidden, Invalid, NotFound, Unauthenticated
from app.ids import new_id
from app.principal import SCOPES, Principal
from app.tables import AuditRow, KeyRow, ProjectRow

ALPHABET = string.ascii_letters + string.digits
NUM_SECRET_CHARACTERS = 43  # 43 characters of 62 hold 256 random bits
NUM_ID_CHARACTERS = 16
LATEST = datetime(3000, 1, 1, tzinfo=UTC)
USE_IS_NOTED_EVERY = timedelta(minutes=1)


def create_key(session: Session, principal: Principal, request: KeyCreate) -> tuple[KeyRow, str]:
    """A new key and its text, which is not stored.

    Raises: Forbidden when it could do more than its maker; Invalid when it cannot be bound or has expired already.
    """
    missing = [scope for scope in request.scopes if not principal.may(scope)]
    if missing:
        raise Forbidden(f"A key can only make keys that may do less; this one lacks {', '.join(missing)}.")
    if request.model and set(request.scopes) - {"read", "predict"}:
        raise _invalid("/scopes", "A key bound to a model can only have the scopes read and predict.")
    if request.expires_at and not now() < request.expires_at < LATEST:
        raise _invalid("/expires_at", "This time has passed, or is after the year 2999.")
    return issue(session, principal, request)


def issue(session: Session, principal: Principal, request: KeyCreate) -> tuple[KeyRow, str]:
    """Store a key without asking whether its maker may; the command line of the machine's owner may."""
    key_id = "".join(secrets.choice(ALPHABET) for _ in range(NUM_ID_CHARACTERS))
    secret = "".join(secrets.choice(ALPHABET) for _ in range(NUM_SECRET_CHARACTERS))
    row = KeyRow(
        id=key_id,
        project_id=principal.project_id,
        name=request.name,
        secret_sha256=hashlib.sha256(secret.encode()).digest(),
        scopes=[scope for scope in SCOPES if scope in request.scopes],
        model=request.model,
        expires_at=request.expires_at,
        created_at=now(),
    )
    session.add(row)
    session.flush()
    audit.record(session, principal, "key.create", key_id, name=request.name, scopes=row.scopes)
    return row, f"maas_{key_id}_{secret}{_checksum(key_id, secret)}"


def get_key(session: Session, principal: Principal, key_id: str) -> KeyRow:
    """A key of the caller's project. Raises: NotFound."""
    row = session.get(KeyRow, key_id[:NUM_ID_CHARACTERS])
    if row is None or row.id != key_id or row.project_id != principal.project_id:
        raise NotFound("key", key_id)
    return row


def list_keys(session: Session, principal: Principal, *, limit: int, after: str | None) -> Sequence[KeyRow]:
    """Keys of the project ordered by id, one more than `limit` if there are more."""
    query = select(KeyRow).where(KeyRow.project_id == principal.project_id, KeyRow.id > (after or ""))
    return session.scalars(query.order_by(KeyRow.id).limit(limit + 1)).all()


def revoke_key(session: Session, principal: Principal, key_id: str) -> KeyRow:
    """Stop a key for good; every process notices within a second. Raises: NotFound."""
    row = get_key(session, principal, key_id)
    if row.revoked_at is None:
        row.revoked_at = now()
        audit.record(session, principal, "key.revoke", key_id)
    return row


def split_token(token: str) -> tuple[str, str]:
    """Id and secret of a key's text; a typing error is found here, without asking the database.

    Raises: Unauthenticated.
    """
    prefix, _, rest = token.partition("_")
    key_id, _, tail = rest.partition("_")
    secret, checksum = tail[:NUM_SECRET_CHARACTERS], tail[NUM_SECRET_CHARACTERS:]
    well_formed = prefix == "maas" and len(key_id) == NUM_ID_CHARACTERS and token.isascii()
    if not well_formed or checksum != _checksum(key_id, secret):
        raise Unauthenticated
    return key_id, secret


def authenticate(session: Session, key_id: str, secret: str) -> Principal:
    """The holder of a key. Raises: Unauthenticated when it is unknown, wrong, revoked or expired."""
    row = session.get(KeyRow, key_id)
    digest = row.secret_sha256 if row else bytes(32)
    matches = hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), digest)
    if row is None or not matches or row.revoked_at or (row.expires_at and row.expires_at <= now()):
        raise Unauthenticated
    return Principal(row.project_id, row.id, frozenset(row.scopes), row.model)


def note_use(session: Session, key_id: str) -> None:
    """Remember that a key was used, at most once a minute."""
    row = session.get(KeyRow, key_id)
    if row and (row.last_used_at is None or now() - row.last_used_at > USE_IS_NOTED_EVERY):
        row.last_used_at = now()


def open_project(session: Session, name: str) -> ProjectRow:
    """The project of that name, made if there is none."""
    row = session.scalars(select(ProjectRow).where(ProjectRow.name == name)).first()
    if row is not None:
        return row
    try:
        with session.begin_nested():
            session.add(ProjectRow(id=new_id("proj"), name=name, created_at=now()))
    except IntegrityError:
        pass  # another process made it in the meantime
    return session.scalars(select(ProjectRow).where(ProjectRow.name == name)).one()


def get_project(session: Session, principal: Principal) -> ProjectRow:
    """The caller's project."""
    return session.get_one(ProjectRow, principal.project_id)


def list_audit(session: Session, principal: Principal, *, limit: int, after: int) -> Sequence[AuditRow]:
    """Entries of the project's audit trail in order, one more than `limit` if there are more."""
    query = select(AuditRow).where(AuditRow.project_id == principal.project_id, AuditRow.seq > after)
    return session.scalars(query.order_by(AuditRow.seq).limit(limit + 1)).all()


def _checksum(key_id: str, secret: str) -> str:
    number = zlib.crc32(f"{key_id}{secret}".encode())
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, len(ALPHABET))
        digits += ALPHABET[digit]
    return digits


def _invalid(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[{"pointer": pointer, "detail": detail}])
