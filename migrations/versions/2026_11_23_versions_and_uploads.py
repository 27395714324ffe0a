"""What a version of a data set was made from, digests of its blocks, and resumable uploads"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

import app.column_types

revision = '2026_11_23_versions_and_uploads'
down_revision = '2026_11_23_first_schema'
branch_labels = None
depends_on = None


def json():
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=Text()), 'postgresql')


def upgrade() -> None:
    op.add_column('datasets', sa.Column('origin', json(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column('datasets', sa.Column('parent_id', sa.String(length=48), nullable=True))
    op.add_column('datasets', sa.Column('blocks', json(), server_default=sa.text("'[]'"), nullable=False))
    op.create_index(op.f('ix_datasets_parent_id'), 'datasets', ['parent_id'])
    op.create_table('uploads',
    sa.Column('id', sa.String(length=48), nullable=False),
    sa.Column('project_id', sa.String(length=48), nullable=False),
    sa.Column('key_id', sa.String(length=16), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('filename', sa.Text(), nullable=True),
    sa.Column('content_type', sa.Text(), nullable=True),
    sa.Column('options', json(), nullable=False),
    sa.Column('size_bytes', sa.BigInteger(), nullable=False),
    sa.Column('offset_bytes', sa.BigInteger(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('dataset_id', sa.String(length=48), nullable=True),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.Column('expires_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['project_id'], ['projects.id'], name=op.f('fk_uploads_project_id_projects')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_uploads'))
    )
    op.create_index(op.f('ix_uploads_project_id'), 'uploads', ['project_id'])
    op.create_index(op.f('ix_uploads_expires_at'), 'uploads', ['expires_at'])


def downgrade() -> None:
    op.drop_table('uploads')
    op.drop_index(op.f('ix_datasets_parent_id'), 'datasets')
    op.drop_column('datasets', 'blocks')
    op.drop_column('datasets', 'parent_id')
    op.drop_column('datasets', 'origin')
