select ticket_id, customer_id, channel, subject, body
from tickets
where created_on >= :partition_start
  and created_on < :partition_end
order by ticket_id
