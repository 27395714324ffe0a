"""Shadows of aliases"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

import app.column_types

revision = '2026_11_25_traffic_shadows'
down_revision = '2026_11_25_traffic'
branch_labels = None
depends_on = None


def json():
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=Text()), 'postgresql')


def upgrade() -> None:
    op.create_table('shadows',
    sa.Column('model_id', sa.String(length=48), nullable=False),
    sa.Column('alias', sa.String(length=200), nullable=False),
    sa.Column('id', sa.String(length=48), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('share', sa.Double(), nullable=False),
    sa.Column('tally', json(), nullable=False),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_shadows_model_id_models')),
    sa.ForeignKeyConstraint(['model_id', 'version'], ['model_versions.model_id', 'model_versions.version'], name=op.f('fk_shadows_model_id_version_model_versions')),
    sa.PrimaryKeyConstraint('model_id', 'alias', name=op.f('pk_shadows'))
    )


def downgrade() -> None:
    op.drop_table('shadows')
