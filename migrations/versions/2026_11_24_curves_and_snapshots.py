"""Points of curves by step, epoch and sample, with their extremes; the best weights so far of running jobs"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

import app.column_types

revision = '2026_11_24_curves_and_snapshots'
down_revision = '2026_11_24_studies'
branch_labels = None
depends_on = None


def json():
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=Text()), 'postgresql')


def recreate_job_metrics(*columns: sa.Column, copied: str, into: str, key: list[str]) -> None:
    # SQLite cannot change a primary key; the same few statements do on both databases.
    op.execute('CREATE TABLE old_job_metrics AS SELECT * FROM job_metrics')
    op.drop_table('job_metrics')
    op.create_table('job_metrics',
    sa.Column('job_id', sa.String(length=48), nullable=False),
    *columns,
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_job_metrics_job_id_jobs'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', *key, name=op.f('pk_job_metrics'))
    )
    op.execute(f'INSERT INTO job_metrics (job_id, created_at, {into}) SELECT job_id, created_at, {copied} FROM old_job_metrics')
    op.drop_table('old_job_metrics')


def upgrade() -> None:
    recreate_job_metrics(
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('epoch', sa.Double(), nullable=False),
    sa.Column('seconds', sa.Double(), nullable=False),
    sa.Column('values', json(), nullable=False),
    sa.Column('low', json(), nullable=False),
    sa.Column('high', json(), nullable=False),
    copied="'epoch', epoch, step, epoch, 0.0, \"values\", '{}', '{}'",
    into='kind, position, step, epoch, seconds, "values", low, high',
    key=['kind', 'position'],
    )
    op.create_table('job_snapshots',
    sa.Column('job_id', sa.String(length=48), nullable=False),
    sa.Column('lease_epoch', sa.BigInteger(), nullable=False),
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('graph_sha256', sa.String(length=64), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('manifest', json(), nullable=False),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_job_snapshots_job_id_jobs'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', name=op.f('pk_job_snapshots'))
    )
    op.create_index(op.f('ix_job_snapshots_graph_sha256'), 'job_snapshots', ['graph_sha256'])


def downgrade() -> None:
    op.drop_table('job_snapshots')
    op.execute("DELETE FROM job_metrics WHERE kind <> 'epoch'")
    recreate_job_metrics(
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('values', json(), nullable=False),
    copied='step, epoch, "values"',
    into='step, epoch, "values"',
    key=['step'],
    )
