"""The log of predictions, and which models have one"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

import app.column_types

revision = '2026_11_25_watched_predictions'
down_revision = '2026_11_25_traffic_shadows'
branch_labels = None
depends_on = None


def json():
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=Text()), 'postgresql')


def upgrade() -> None:
    op.create_table('log_rules',
    sa.Column('model_id', sa.String(length=48), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('sample', sa.Double(), nullable=False),
    sa.Column('keep_days', sa.BigInteger(), nullable=False),
    sa.Column('leave_out', json(), nullable=False),
    sa.Column('updated_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_log_rules_model_id_models'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('model_id', name=op.f('pk_log_rules'))
    )
    op.create_table('prediction_log',
    sa.Column('id', sa.String(length=48), nullable=False),
    sa.Column('model_id', sa.String(length=48), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('request_id', sa.String(length=256), nullable=False),
    sa.Column('row', sa.BigInteger(), nullable=False),
    sa.Column('inputs', json(), nullable=False),
    sa.Column('output', json(), nullable=False),
    sa.Column('truth', json(), nullable=True),
    sa.Column('correct', sa.BigInteger(), nullable=True),
    sa.Column('squared_error', sa.Double(), nullable=True),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_prediction_log_model_id_models'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_prediction_log'))
    )
    op.create_index(op.f('ix_prediction_log_model_id_id'), 'prediction_log', ['model_id', 'id'])
    op.create_index(op.f('ix_prediction_log_model_id_request_id_row'), 'prediction_log', ['model_id', 'request_id', 'row'])
    op.create_index(op.f('ix_prediction_log_created_at'), 'prediction_log', ['created_at'])


def downgrade() -> None:
    op.drop_table('prediction_log')
    op.drop_table('log_rules')
