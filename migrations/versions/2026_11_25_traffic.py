"""Splits of aliases, where aliases have pointed, gates of promotion"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

import app.column_types

revision = '2026_11_25_traffic'
down_revision = '2026_11_25_predictions'
branch_labels = None
depends_on = None


def json():
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=Text()), 'postgresql')


def upgrade() -> None:
    op.add_column('aliases', sa.Column('split', json(), nullable=True))
    op.create_table('alias_moves',
    sa.Column('model_id', sa.String(length=48), nullable=False),
    sa.Column('alias', sa.String(length=200), nullable=False),
    sa.Column('revision', sa.BigInteger(), nullable=False),
    sa.Column('action', sa.String(length=16), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=True),
    sa.Column('split', json(), nullable=True),
    sa.Column('back', sa.BigInteger(), nullable=True),
    sa.Column('forced', sa.Boolean(), nullable=False),
    sa.Column('key_id', sa.String(length=16), nullable=True),
    sa.Column('created_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_alias_moves_model_id_models')),
    sa.PrimaryKeyConstraint('model_id', 'alias', 'revision', name=op.f('pk_alias_moves'))
    )
    op.create_table('gates',
    sa.Column('model_id', sa.String(length=48), nullable=False),
    sa.Column('aliases', json(), nullable=False),
    sa.Column('rules', json(), nullable=False),
    sa.Column('revision', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', app.column_types.UtcTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_gates_model_id_models')),
    sa.PrimaryKeyConstraint('model_id', name=op.f('pk_gates'))
    )
    # What is known of aliases from before: where they point now.
    op.execute(
        "INSERT INTO alias_moves (model_id, alias, revision, action, version, forced, created_at) "
        "SELECT model_id, alias, revision, 'point', version, false, updated_at FROM aliases"
    )


def downgrade() -> None:
    op.drop_table('gates')
    op.drop_table('alias_moves')
    with op.batch_alter_table('aliases') as aliases:
        aliases.drop_column('split')
