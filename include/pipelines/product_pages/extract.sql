select package, version, section, summary, description as source_text, homepage, tags
from products
where updated_on >= :partition_start
  and updated_on < :partition_end
order by package
