"""Specs that a project has declared, and their versions"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

import app.column_types

revision = '2026_11_25_declared_specs'
down_revision = '2026_11_24_curves_and_snapshots'
branch_labels = None
depends_on = None


def json():
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=Text()), 'postgresql')


def upgrade() -> None:
    op.create_table('specs',
    sa.Column('id', sa.String(length=48), nullable=False),
    sa.Column('project_id', sa.String(length=48), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('num_versions', sa.BigInteger(), nullable=False),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('fk_specs_project_id_projects')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_specs')),
    sa.UniqueConstraint('project_id', 'name', name=op.f('uq_specs_project_id_name'))
    )
    op.create_table('spec_versions',
    sa.Column('spec_id', sa.String(length=48), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('network', json(), nullable=False),
    sa.Column('params', json(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['spec_id'], ['specs.id'], name=op.f('fk_spec_versions_spec_id_specs')),
    sa.PrimaryKeyConstraint('spec_id', 'version', name=op.f('pk_spec_versions'))
    )


def downgrade() -> None:
    op.drop_table('spec_versions')
    op.drop_table('specs')
