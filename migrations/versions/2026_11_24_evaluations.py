"""Where the evaluation of a version, or of an evaluation job, lies"""

import sqlalchemy as sa
from alembic import op

revision = '2026_11_24_evaluations'
down_revision = '2026_11_23_versions_and_uploads'
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ('jobs', 'model_versions'):
        op.add_column(table, sa.Column('evaluation_sha256', sa.String(length=64), nullable=True))
        op.create_index(op.f(f'ix_{table}_evaluation_sha256'), table, ['evaluation_sha256'])


def downgrade() -> None:
    for table in ('jobs', 'model_versions'):
        op.drop_index(op.f(f'ix_{table}_evaluation_sha256'), table)
        op.drop_column(table, 'evaluation_sha256')
