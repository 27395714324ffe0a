"""Studies, their trials, reports and events; the result that a job of a study leaves"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

import app.column_types

revision = '2026_11_24_studies'
down_revision = '2026_11_24_evaluations'
branch_labels = None
depends_on = None


def json():
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=Text()), 'postgresql')


def upgrade() -> None:
    op.create_table('studies',
    sa.Column('id', sa.String(length=48), nullable=False),
    sa.Column('project_id', sa.String(length=48), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('control', sa.String(length=16), nullable=True),
    sa.Column('is_external', sa.Boolean(), nullable=False),
    sa.Column('dataset_id', sa.String(length=48), nullable=True),
    sa.Column('model', sa.String(length=200), nullable=True),
    sa.Column('model_version', sa.BigInteger(), nullable=True),
    sa.Column('plan', json(), nullable=False),
    sa.Column('num_started', sa.BigInteger(), nullable=False),
    sa.Column('best_trial', sa.BigInteger(), nullable=True),
    sa.Column('error', json(), nullable=True),
    sa.Column('num_events', sa.BigInteger(), nullable=False),
    sa.Column('revision', sa.BigInteger(), nullable=False),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.Column('ends_at', app.column_types.UtcTime(timezone=True), nullable=True),
    sa.Column('paused_at', app.column_types.UtcTime(timezone=True), nullable=True),
    sa.Column('finished_at', app.column_types.UtcTime(timezone=True), nullable=True),
    sa.CheckConstraint("status IN ('running', 'paused', 'succeeded', 'failed', 'cancelled')", name=op.f('ck_studies_status')),
    sa.ForeignKeyConstraint(['dataset_id'], ['datasets.id'], name=op.f('fk_studies_dataset_id_datasets')),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('fk_studies_project_id_projects')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_studies'))
    )
    op.create_index(op.f('ix_studies_dataset_id'), 'studies', ['dataset_id'])
    op.create_index(op.f('ix_studies_project_id_id'), 'studies', ['project_id', 'id'])
    op.create_index(op.f('ix_studies_status'), 'studies', ['status'])
    op.create_table('study_events',
    sa.Column('study_id', sa.String(length=48), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('type', sa.String(length=32), nullable=False),
    sa.Column('level', sa.String(length=16), nullable=False),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('data', json(), nullable=False),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['study_id'], ['studies.id'], name=op.f('fk_study_events_study_id_studies'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('study_id', 'seq', name=op.f('pk_study_events'))
    )
    op.create_table('trials',
    sa.Column('study_id', sa.String(length=48), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('params', json(), nullable=False),
    sa.Column('value', sa.Double(), nullable=True),
    sa.Column('error', json(), nullable=True),
    sa.Column('pruned_step', sa.BigInteger(), nullable=True),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.Column('expires_at', app.column_types.UtcTime(timezone=True), nullable=True),
    sa.Column('finished_at', app.column_types.UtcTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('running', 'completed', 'pruned', 'failed')", name=op.f('ck_trials_state')),
    sa.ForeignKeyConstraint(['study_id'], ['studies.id'], name=op.f('fk_trials_study_id_studies'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('study_id', 'number', name=op.f('pk_trials'))
    )
    op.create_index(op.f('ix_trials_study_id_state'), 'trials', ['study_id', 'state'])
    op.create_table('trial_reports',
    sa.Column('study_id', sa.String(length=48), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.Column('value', sa.Double(), nullable=False),
    sa.ForeignKeyConstraint(['study_id', 'number'], ['trials.study_id', 'trials.number'], name=op.f('fk_trial_reports_study_id_number_trials'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('study_id', 'number', 'step', name=op.f('pk_trial_reports'))
    )
    op.create_index(op.f('ix_trial_reports_study_id_step'), 'trial_reports', ['study_id', 'step'])
    op.add_column('jobs', sa.Column('result', json(), nullable=True))
    op.add_column('jobs', sa.Column('study_id', sa.String(length=48), nullable=True))
    op.add_column('jobs', sa.Column('trial', sa.BigInteger(), nullable=True))
    op.create_index(op.f('ix_jobs_study_id_trial'), 'jobs', ['study_id', 'trial'], unique=True)


def downgrade() -> None:
    op.drop_index(op.f('ix_jobs_study_id_trial'), 'jobs')
    op.drop_column('jobs', 'trial')
    op.drop_column('jobs', 'study_id')
    op.drop_column('jobs', 'result')
    op.drop_table('trial_reports')
    op.drop_table('trials')
    op.drop_table('study_events')
    op.drop_table('studies')
