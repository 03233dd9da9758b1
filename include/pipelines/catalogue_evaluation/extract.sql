-- The shelf that we expect of the maintainers' section. `sure`: the two mean the same. `likely`: a person would contest
-- some of them. Sections of all sorts of products are not here, so their products are no cases: see README.md.
with shelves (section, shelf, certainty) as (
  values
    ('database', 'databases', 'sure'),
    ('doc', 'documentation', 'sure'),
    ('fonts', 'fonts-localisation', 'sure'),
    ('games', 'games', 'sure'),
    ('graphics', 'graphics', 'sure'),
    ('libdevel', 'development-library', 'sure'),
    ('math', 'mathematics', 'sure'),
    ('sound', 'audio-video', 'sure'),
    ('vcs', 'development-tool', 'sure'),
    ('video', 'audio-video', 'sure'),
    ('admin', 'system-administration', 'likely'),
    ('comm', 'communication', 'likely'),
    ('devel', 'development-tool', 'likely'),
    ('electronics', 'hardware', 'likely'),
    ('gnome', 'desktop', 'likely'),
    ('gnu-r', 'data-science', 'likely'),
    ('httpd', 'web', 'likely'),
    ('kde', 'desktop', 'likely'),
    ('libs', 'development-library', 'likely'),
    ('localization', 'fonts-localisation', 'likely'),
    ('mail', 'communication', 'likely'),
    ('net', 'networking', 'likely'),
    ('news', 'communication', 'likely'),
    ('science', 'data-science', 'likely'),
    ('tex', 'text-publishing', 'likely'),
    ('text', 'text-publishing', 'likely'),
    ('web', 'web', 'likely'),
    ('x11', 'desktop', 'likely'),
    ('xfce', 'desktop', 'likely')
)
select package, summary, description, homepage, tags, products.section, shelf, certainty
from products
join shelves on shelves.section = products.section
where updated_on >= :partition_start
  and updated_on < :partition_end
order by package
