from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from plinth.db.models import Base


class SessionCleanup(Base):
    """A user, deleted perhaps, more of whose sessions have ended than one request could write.

    The worker deletes them. By their epoch they have ended already; the code of the previous
    release, which does not know it, serves beside this one until a deploy is complete.
    """

    __tablename__ = "session_cleanups"

    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
