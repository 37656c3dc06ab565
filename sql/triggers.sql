-- The triggers on Immich's tables, as pg_get_triggerdef prints them. install compares the text, and changes only triggers that are
-- missing or different. They have no WHEN and no UPDATE OF, because Immich could not change the columns named there.
-- Where all rows of a statement are noted, they fire once for it. Where an old row has to be compared with the new one, or where Immich
-- mostly writes a single row, they fire for each row. To join the old rows of a statement with its new ones takes time that grows with
-- the square of their number, because the plan was made for a few.
CREATE TRIGGER immich_indexer_insert AFTER INSERT ON public.asset_file FOR EACH ROW EXECUTE FUNCTION immich_indexer.on_preview_write();
CREATE TRIGGER immich_indexer_update AFTER UPDATE ON public.asset_file FOR EACH ROW EXECUTE FUNCTION immich_indexer.on_preview_write();
CREATE TRIGGER immich_indexer_update AFTER UPDATE ON public.asset FOR EACH ROW EXECUTE FUNCTION immich_indexer.on_asset_update();
CREATE TRIGGER immich_indexer_insert AFTER INSERT ON public.ocr_search REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION immich_indexer.on_ocr_search_write();
CREATE TRIGGER immich_indexer_update AFTER UPDATE ON public.ocr_search REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION immich_indexer.on_ocr_search_write();
CREATE TRIGGER immich_indexer_delete AFTER DELETE ON public.ocr_search REFERENCING OLD TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION immich_indexer.on_ocr_search_write();
CREATE TRIGGER immich_indexer_insert AFTER INSERT ON public.tag_asset REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION immich_indexer.on_tag_write();
CREATE TRIGGER immich_indexer_delete AFTER DELETE ON public.tag_asset REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION immich_indexer_2.on_tag_delete();
CREATE TRIGGER immich_indexer_insert AFTER INSERT ON public.asset_exif FOR EACH ROW EXECUTE FUNCTION immich_indexer_2.on_exif_write();
CREATE TRIGGER immich_indexer_update AFTER UPDATE ON public.asset_exif FOR EACH ROW EXECUTE FUNCTION immich_indexer_2.on_exif_write();
CREATE TRIGGER immich_indexer_insert AFTER INSERT ON public.person FOR EACH ROW EXECUTE FUNCTION immich_indexer_2.on_person_write();
CREATE TRIGGER immich_indexer_update AFTER UPDATE ON public.person FOR EACH ROW EXECUTE FUNCTION immich_indexer_2.on_person_write();
CREATE TRIGGER immich_indexer_delete AFTER DELETE ON public.person FOR EACH ROW EXECUTE FUNCTION immich_indexer_2.on_person_write();
CREATE TRIGGER immich_indexer_insert AFTER INSERT ON public.asset_face FOR EACH ROW EXECUTE FUNCTION immich_indexer_2.on_face_write();
CREATE TRIGGER immich_indexer_update AFTER UPDATE ON public.asset_face FOR EACH ROW EXECUTE FUNCTION immich_indexer_2.on_face_write();
CREATE TRIGGER immich_indexer_delete AFTER DELETE ON public.asset_face FOR EACH ROW EXECUTE FUNCTION immich_indexer_2.on_face_write();
CREATE TRIGGER immich_indexer_update AFTER UPDATE ON public.album FOR EACH ROW EXECUTE FUNCTION immich_indexer_2.on_album_write();
CREATE TRIGGER immich_indexer_insert AFTER INSERT ON public.album_asset REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION immich_indexer_2.on_album_asset_write();
CREATE TRIGGER immich_indexer_delete AFTER DELETE ON public.album_asset REFERENCING OLD TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION immich_indexer_2.on_album_asset_write();
CREATE TRIGGER immich_indexer_update AFTER UPDATE ON public.tag FOR EACH ROW EXECUTE FUNCTION immich_indexer_2.on_tag_update();
