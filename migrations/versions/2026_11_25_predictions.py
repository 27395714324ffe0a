"""Blocks of batch predictions, and where the rows are listed that they could not answer"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

import app.column_types

revision = '2026_11_25_predictions'
down_revision = '2026_11_25_declared_specs'
branch_labels = None
depends_on = None


def json():
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=Text()), 'postgresql')


def upgrade() -> None:
    op.create_table('prediction_blocks',
    sa.Column('job_id', sa.String(length=48), nullable=False),
    sa.Column('first_row', sa.BigInteger(), nullable=False),
    sa.Column('num_rows', sa.BigInteger(), nullable=False),
    sa.Column('num_rejected', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('rejected_sha256', sa.String(length=64), nullable=True),
    sa.Column('warnings', json(), nullable=False),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_prediction_blocks_job_id_jobs'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'first_row', name=op.f('pk_prediction_blocks'))
    )
    op.create_index(op.f('ix_prediction_blocks_sha256'), 'prediction_blocks', ['sha256'])
    op.create_index(op.f('ix_prediction_blocks_rejected_sha256'), 'prediction_blocks', ['rejected_sha256'])
    op.create_table('prediction_rejected',
    sa.Column('job_id', sa.String(length=48), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_prediction_rejected_job_id_jobs'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', name=op.f('pk_prediction_rejected'))
    )
    op.create_index(op.f('ix_prediction_rejected_sha256'), 'prediction_rejected', ['sha256'])


def downgrade() -> None:
    op.drop_table('prediction_rejected')
    op.drop_table('prediction_blocks')
