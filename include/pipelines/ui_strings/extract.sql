select string_id, text as source_text, description, max_characters
from ui_strings
where updated_on >= :partition_start
  and updated_on < :partition_end
order by string_id
