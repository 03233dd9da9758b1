select ticket, body
from tickets
where day >= :partition_start and day < :partition_end
